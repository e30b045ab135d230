/**
 * What unwrap.sh installs, in a network of three hosts with the real daemon at both ends: clients reach a TLS server, in the place of
 * kube-apiserver, through an edge that sends PROXY v2, and the control plane's log has their addresses.
 */
import { once } from 'node:events';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { DaemonHome, logged } from '../../edge/daemon-process.ts';
import { describe, exec, mustExec, waitFor } from '../../lab/process.ts';
import { eventually, inNamespace, ip, PeerNamespace } from '../../linux/netns.ts';
import { render } from './rendered.ts';

const [edgeAddress, node, stranger] = ['fd42:6ed9:e001:1::1', 'fd42:6ed9:e001:1::11', 'fd42:6ed9:e001:1::66'];
const [edge6, client6, edge4, client4] = ['2001:db8::1', '2001:db8::9', '192.0.2.10', '192.0.2.9'];
const program = join(import.meta.dirname, '../../../bin/v6edge');

/** The two networks: private between node and edge, public where edge and clients are. */
async function network(t: Test): Promise<PeerNamespace> {
  const edge = await PeerNamespace.open(t);
  ip(`link add priv0 type veth peer name priv0 netns ${edge.pid}`);
  ip(`address add ${node}/64 dev priv0 nodad`);
  ip('link set priv0 up');
  edge.ip(`address add ${edgeAddress}/64 dev priv0 nodad`);
  // Deprecated (RFC 6724 §5, rule 3): nothing comes from it that does not ask to.
  edge.ip(`address add ${stranger}/64 dev priv0 nodad preferred_lft 0`);
  edge.ip('link set priv0 up');
  for (const address of [edge6, client6]) edge.ip(`address add ${address}/128 dev lo`);
  for (const address of [edge4, client4]) edge.ip(`address add ${address}/32 dev lo`);
  await eventually(() => !edge.ip('-6 address show dev priv0').includes('tentative'));
  return edge;
}

/** A TLS server that answers with who it sees, and /readyz as kube-apiserver does. */
async function apiServer(t: Test, folder: string): Promise<void> {
  const [key, cert] = [join(folder, 'tls.key'), join(folder, 'tls.crt')];
  const subject = '-subj /CN=kubernetes -days 2'.split(' ');
  const kind = '-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'.split(' ');
  await mustExec(['openssl', 'req', '-x509', ...kind, '-keyout', key, '-out', cert, ...subject]);
  const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (request, response) => {
    response.end(request.url === '/readyz' ? 'ok' : `${request.socket.remoteAddress}`);
  });
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  server.listen(6443, node);
  await once(server, 'listening');
}

if (inNamespace(t, fileURLToPath(import.meta.url))) {
  const rendered = await render('unwrap/v6edge.yaml');

  t.test('the configuration passes v6edge check as it is written', async (t) => {
    const file = join(t.testdir(), 'v6edge.yaml');
    writeFileSync(file, rendered);
    const result = await exec(['env', '-u', 'NODE_OPTIONS', program, 'check', '--config', file]);
    t.equal(result.code, 0, describe(result));
  });

  t.test('clients of the API server, by IPv6 and IPv4', async (t) => {
    const peer = await network(t);
    const unwrap = new DaemonHome(t);
    await apiServer(t, unwrap.folder);
    const own = rendered.replace('unix:/run/v6edge/admin.sock', `unix:${unwrap.socket}`);
    t.not(own, rendered);
    writeFileSync(unwrap.configFile, `workers: 1\nstate: { dir: ${unwrap.stateDir} }\n${own}`);
    const daemon = await unwrap.start();

    const entry = join(unwrap.folder, 'on-the-edge');
    writeFileSync(entry, `#!/bin/sh\nexec nsenter -t ${peer.pid} -n ${program} "$@"\n`);
    chmodSync(entry, 0o755);
    const edge = new DaemonHome(t, entry);
    edge.configure(
      `proxy:
  listeners: [{ name: kube-api, bind: ["[${edge6}]:6443", "${edge4}:6443"], pool: masters }]
  pools:
    masters:
      proxyProtocol: v2
      check: { type: https, path: /readyz, host: kubernetes.default, interval: 100ms, rise: 1 }
      members: [{ name: cp1, address: "${node}", port: 7443 }]`,
      1,
    );
    await edge.start();
    const curl = (from: string, url: string, ...more: string[]) =>
      exec(['nsenter', '-t', String(peer.pid), '-n', 'curl', '-ksSg', '-m5', '--interface', from, ...more, url]);
    // The session's line comes when both sides have closed.
    const line = (client: RegExp, cause = /./) => {
      const wanted = (one: Record<string, unknown>) => client.test(String(one.client)) && cause.test(String(one.cause));
      return waitFor('the line', () => logged(daemon, /^session$/).find(wanted), { why: () => daemon.output });
    };

    for (const [name, client, url, address] of [
      ['IPv6', client6, `https://[${edge6}]:6443/`, /^\[2001:db8::9\]:\d+$/],
      ['IPv4', client4, `https://${edge4}:6443/`, /^192\.0\.2\.9:\d+$/],
    ] as const) {
      await t.test(`${name}: the log has the client, the API server this host`, async (t) => {
        const result = await waitFor('an answer', async () => {
          const got = await curl(client, url);
          return got.code === 0 && got;
        });
        t.equal(result.stdout, node);
        t.match(await line(address), {
          listener: 'kube-api-unwrap',
          pool: 'kube-apiserver',
          member: 'local',
        });
      });
    }

    await t.test('whoever is not the edge is turned away, with a header or without', async (t) => {
      const url = `https://[${node}]:7443/`;
      for (const more of [[], ['--haproxy-protocol']]) {
        const result = await curl(stranger, url, ...more);
        t.not(result.code, 0, describe(result));
        t.equal(result.stdout, '');
      }
      t.match(await line(/::66\]/), { state: 'PR', cause: 'denied' });
    });

    await t.test('from the edge without a header nothing gets through', async (t) => {
      const result = await curl(edgeAddress, `https://[${node}]:7443/`);
      t.not(result.code, 0, describe(result));
      // Beside those of the edge's own checks.
      t.match(await line(/:1::1\]/, /bad PROXY header/), { state: 'PR' });
    });
  });
}
