"""dnspython as a client: run by dns-clients.test.ts with port, key name, secret. Prints one JSON object: what came of each step."""

import base64
import json
import sys
import time

import dns.edns
import dns.message
import dns.query
import dns.rcode
import dns.tsig
import dns.tsigkeyring
import dns.update
import dns.zone

port, key_name, secret = int(sys.argv[1]), sys.argv[2], sys.argv[3]
server, zone = "::1", "cluster.test"
results = {}


def send(message, tcp=False):
    ask = dns.query.tcp if tcp else dns.query.udp
    return ask(message, server, port=port, timeout=5)


def update(algorithm=dns.tsig.HMAC_SHA256, name=key_name, key=secret):
    keyring = dns.tsigkeyring.from_text({name: key})
    return dns.update.UpdateMessage(zone, keyring=keyring, keyname=name, keyalgorithm=algorithm)


def note(step, run):
    try:
        results[step] = run()
    except Exception as error:  # the test wants to know which
        results[step] = type(error).__name__


def rcode(message, tcp=False):
    return dns.rcode.to_text(send(message, tcp).rcode())


def add(text, **options):
    message = update(**options)
    message.add("py", 60, "TXT", f'"{text}"')
    return message


note("add", lambda: rcode(add("a")))
note("add by TCP", lambda: rcode(add("b"), True))

refused = add("c")
refused.absent("py")
note("prerequisite", lambda: rcode(refused))

replaced = update()
replaced.present("py", "TXT")
replaced.replace("py", 60, "TXT", '"d"')
note("replace", lambda: rcode(replaced))
note("wrong secret", lambda: rcode(add("e", key=base64.b64encode(b"x" * 32).decode())))
note("unknown key", lambda: rcode(add("f", name="nobody")))

clock = time.time
time.time = lambda: clock() - 4000
try:
    note("clock behind", lambda: rcode(add("g")))
finally:
    time.time = clock


def lease():
    message = update()
    message.add("leased", 60, "TXT", '"x"')
    message.use_edns(options=[dns.edns.GenericOption(2, (7200).to_bytes(4, "big"))])
    reply = send(message)
    return [int.from_bytes(option.data, "big") for option in reply.options if option.otype == 2]


note("lease", lease)


def transfer():
    keyring = dns.tsigkeyring.from_text({key_name: secret})
    messages = dns.query.xfr(server, zone, port=port, keyring=keyring, keyname=key_name, timeout=5, lifetime=10)
    found = dns.zone.from_xfr(messages)
    return found.get_rdataset("py", "TXT").to_text()


note("AXFR", transfer)


def axfr_unsigned():
    return len(list(dns.query.xfr(server, zone, port=port, timeout=5, lifetime=10)))


note("AXFR unsigned", axfr_unsigned)
query = dns.message.make_query(f"py.{zone}", "TXT", want_dnssec=True)
note("query", lambda: [str(rrset) for rrset in send(query).answer])
print(json.dumps(results))
