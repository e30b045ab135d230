/** Our DNS messages before other programs' eyes: dig, kdig, nsupdate, knsupdate, tshark's dissector. */
import t from 'tap';
import { updaters } from '../lab/edge/keys.ts';
import { edgePrivate, zone } from '../lab/plan.ts';
import { describe } from '../lab/process.ts';
import { dig, nsupdate, records } from '../lab/steps/dig.ts';
import { Capture, interopStage } from './stage.ts';

if (process.getuid?.() !== 0) t.plan(0, 'network namespaces need root');
else {
  const { lab, keys } = await interopStage();
  t.teardown(() => lab.close());
  const node = lab.node('worker1');
  const capture = await Capture.start(lab, node, 'prv0', 'port 53');

  const kdig = async (...args: string[]) => {
    const { code, stdout, stderr } = await node.exec(['kdig', `@${edgePrivate}`, '+timeout=3', ...args]);
    return { code, text: stdout + stderr };
  };

  t.test('dig and kdig ask with every option a client may send', async (t) => {
    const name = `edge.${zone}`;
    for (const options of [
      [],
      ['+tcp'],
      ['+noedns'],
      ['+bufsize=512'],
      ['+bufsize=4096'],
      ['+dnssec'],
      ['+cdflag'],
      ['+adflag'],
      ['+norecurse'],
      ['+nsid'],
      ['+cookie'],
      ['+padding=128'],
      ['+subnet=2001:db8::/56'],
      ['+ednsopt=65001:c0ffee'],
    ]) {
      const what = options.join(' ') || 'plain';
      for (const asked of [name, 'v4only.inet.test']) {
        const answer = await dig(node, [...options, asked, 'AAAA']);
        t.equal(answer.status, 'NOERROR', `dig ${what} ${asked}`);
        t.notMatch(answer.text, /malformed|extra bytes|Warning:(?! recursion requested)/i);
        if (options.includes('+noedns')) t.notMatch(answer.text, /OPT PSEUDOSECTION/, 'no OPT unasked');
        else t.match(answer.text, /EDNS: version: 0/, 'OPT as the query had it');
      }
    }
    for (const options of [[], ['+tcp'], ['+edns'], ['+dnssec'], ['+cookie'], ['+bufsize=512']]) {
      const { code, text } = await kdig(...options, name, 'AAAA');
      t.equal(code, 0, `kdig ${options.join(' ')}`);
      t.match(text, /status: NOERROR/);
      t.match(text, /fd00:6:6::1/);
      t.notMatch(text, /WARNING|malformed/i);
    }
  });

  t.test('what a server refuses, it refuses by the right rcode', async (t) => {
    for (const [args, status] of [
      [['+edns=1', '+noednsneg', zone, 'SOA'], 'BADVERS'],
      [['+opcode=IQUERY', zone, 'SOA'], 'NOTIMP'],
      [['+tcp', zone, 'AXFR', '+onesoa'], ''],
    ] as const) {
      const { stdout } = await node.exec(['dig', `@${edgePrivate}`, '+time=3', '+tries=1', ...args]);
      if (status === '') t.match(stdout, /Transfer failed/, 'no transfer to just anyone');
      else t.match(stdout, new RegExp(`status: ${status}`), args.join(' '));
    }
  });

  t.test('case is kept, names compare without it', async (t) => {
    const answer = await dig(node, [`EdGe.ClUsTeR.tEsT`, 'AAAA']);
    t.match(answer.text, /;EdGe\.ClUsTeR\.tEsT\./, 'the question comes back as it went');
    t.strictSame(records(answer.answer), ['AAAA fd00:6:6::1']);
  });

  for (const key of updaters(keys)) {
    t.test(`TSIG ${key.algorithm}: nsupdate, knsupdate and dig accept our signatures`, async (t) => {
      const name = `${key.name}.${zone}`;
      t.equal((await nsupdate(node, key, [`update add ${name} 60 TXT "nsupdate"`])).rcode, 'NOERROR');
      const input = `server ${edgePrivate}\nzone ${zone}.\nadd ${name}. 60 TXT "knsupdate"\nsend\n`;
      const result = await node.exec(['knsupdate', '-y', `${key.algorithm}:${key.name}:${key.secret}`], { input });
      t.equal(result.code, 0, describe(result));
      for (const transport of ['+notcp', '+tcp']) {
        const answer = await dig(node, ['-k', key.path, transport, name, 'TXT']);
        t.strictSame(records(answer.answer).sort(), ['TXT "knsupdate"', 'TXT "nsupdate"']);
        t.match(answer.text, /TSIG PSEUDOSECTION/);
        t.notMatch(answer.text, /couldn't verify signature|TSIG could not be validated/i);
      }
    });
  }

  t.test('updates over TCP, and one too large for UDP', async (t) => {
    const lines = Array.from({ length: 100 }, (_, i) => `update add big${i}.${zone} 60 TXT "${'x'.repeat(60)}"`);
    t.equal((await nsupdate(node, keys.node, lines)).rcode, 'NOERROR', '100 records in one message');
    const input = [`server ${edgePrivate}`, ...lines.map((line) => line.replace('add', 'delete')), 'send', ''].join(
      '\n',
    );
    const result = await node.exec(['nsupdate', '-v', '-k', keys.node.path], { input });
    t.equal(result.code, 0, describe(result));
    t.equal((await dig(node, [`big99.${zone}`, 'TXT'])).status, 'NXDOMAIN');
  });

  t.test('tshark finds nothing wrong in all of this', async (t) => {
    await capture.stop();
    const fromEdge = `dns && ipv6.src == ${edgePrivate}`;
    t.strictSame(await capture.complaints(fromEdge), []);
    const rows = await capture.fields(`${fromEdge} && udp`, ['udp.checksum.status', 'udp.length']);
    t.ok(rows.length > 20, `${rows.length} datagrams`);
    for (const [, length] of rows) t.ok(Number(length) - 8 <= 4096);
  });
}
