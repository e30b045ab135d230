import t from 'tap';
import { kernelSysctl } from '../../src/linux/sysctl.ts';
import { inNamespace } from './netns.ts';

if (inNamespace(t, import.meta.filename)) {
  t.test('reads and writes settings of this network namespace', (t) => {
    const path = 'net/ipv6/conf/lo/hop_limit';
    t.equal(kernelSysctl.read(path), '64');
    t.equal(kernelSysctl.write(path, '33'), true);
    t.equal(kernelSysctl.read(path), '33');
    t.end();
  });

  t.test('what is not there or not possible is said, not thrown', (t) => {
    t.equal(kernelSysctl.read('net/ipv6/conf/none0/accept_ra'), undefined);
    t.equal(kernelSysctl.write('net/ipv6/conf/none0/accept_ra', '0'), false);
    t.equal(kernelSysctl.write('net/ipv6/conf/lo/hop_limit', 'many'), false);
    t.equal(kernelSysctl.read('net/ipv6/conf/lo'), undefined, 'a folder');
    t.end();
  });
}
