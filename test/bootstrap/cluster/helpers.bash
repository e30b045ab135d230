# The fake node of the folder above, for the tests here.
# shellcheck shell=bash
BATS_TEST_DIRNAME=$BATS_TEST_DIRNAME/..
# shellcheck source=../helpers.bash
. "$BATS_TEST_DIRNAME/helpers.bash"
