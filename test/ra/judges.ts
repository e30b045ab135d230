/**
 * Nodes that say what they make of an advertisement, each a program that people run or the kernel: rdisc6, ndptool, radvdump,
 * dhcpcd. Each report is a list of short lines, the same whenever the advertisement is, so that two can be compared.
 */
import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { eventually, ip, PeerNamespace } from '../linux/netns.ts';

export const judges = ['rdisc6', 'ndptool', 'radvdump', 'dhcpcd', 'kernel'] as const;
export type Judge = (typeof judges)[number];
export type Reports = Readonly<Record<Judge, readonly string[]>>;

/** Interfaces of the router: behind the second is dhcpcd, which wants its link for itself. */
export const routerInterfaces = ['eth1', 'eth2'] as const;

const ownMac = '02:00:00:00:00:01';
/** Settings of the kernel that advertisements change, and what they are without. */
const kernelSettings = [
  ['hop limit', 'conf/node1/hop_limit', 64],
  ['mtu', 'conf/node1/mtu', 1500],
  ['retransmit time', 'neigh/node1/retrans_time_ms', 1_000],
  ['reachable time', 'neigh/node1/base_reachable_time_ms', 30_000],
] as const;

const ndptoolHead = /^NDP payload.*$/m;
const radvdumpHead = /^# received by interface node1$/m;

/** A program in the namespace of the nodes, and what it has printed. */
class Program {
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;
  #text = '';

  constructor(t: Pick<Test, 'teardown'>, peer: PeerNamespace, command: string, ...args: string[]) {
    this.#child = peer.spawn(command, ...args);
    t.teardown(() => this.#child.kill('SIGKILL'));
    this.#closed = new Promise((resolve) => this.#child.on('close', resolve));
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      stream.on('data', (chunk: Buffer) => {
        this.#text += chunk.toString();
      });
    }
  }

  /** Waits for its end. */
  async output(): Promise<string> {
    await this.#closed;
    return this.#text;
  }

  /** Its reports so far, each from its head on; the last may not be whole yet. */
  reports(head: RegExp): string[] {
    return this.#text.split(head).slice(1);
  }

  kill(): void {
    this.#child.kill();
  }
}

/** The nodes, in a namespace of their own, with a link each to the router in the test's. */
export class Panel {
  readonly #t: Test;
  readonly #peer: PeerNamespace;
  readonly #hook: string;
  readonly #heard: string;
  #heardBefore = 0;

  private constructor(t: Test, peer: PeerNamespace) {
    this.#t = t;
    this.#peer = peer;
    const dir = t.testdir({});
    this.#heard = join(dir, 'heard');
    this.#hook = join(dir, 'hook');
    writeFileSync(
      this.#hook,
      `#!/bin/sh\nenv | grep ^nd1_ >${this.#heard}.new && mv ${this.#heard}.new ${this.#heard}\n`,
      { mode: 0o755 },
    );
  }

  static async open(t: Test): Promise<Panel> {
    const peer = await PeerNamespace.open(t);
    for (const which of ['default', 'all']) peer.sysctl(`net/ipv6/conf/${which}/accept_dad`, 0);
    // A node asks at once, and not after the second that it may take.
    peer.sysctl('net/ipv6/conf/default/router_solicitation_delay', 0);
    for (const number of [1, 2]) addLink(peer, number);
    peer.sysctl('net/ipv6/conf/node1/accept_ra_rt_info_max_plen', 128);
    return new Panel(t, peer);
  }

  /** Has the kernel's node forget what it heard. A new link would do, but for the second that it takes to come up. */
  renew(): void {
    this.#peer.sysctl('net/ipv6/conf/node1/disable_ipv6', 1);
    for (const [, path, value] of kernelSettings) this.#peer.sysctl(`net/ipv6/${path}`, value);
    this.#heardBefore = this.#advertisements();
    this.#peer.sysctl('net/ipv6/conf/node1/disable_ipv6', 0);
  }

  /** What each makes of the advertisement that nodes are given when they ask; it may have been sent to all before. */
  async reports(): Promise<Reports> {
    rmSync(this.#heard, { force: true });
    const ndptool = this.#start('stdbuf', '-oL', 'ndptool', 'monitor', '-t', 'ra', '-i', 'node1');
    const radvdump = this.#start('stdbuf', '-oL', 'radvdump');
    await eventually(() => (this.#peer.run('cat', '/proc/net/raw6').match(/:003A /g) ?? []).length >= 2);
    const dhcpcd = this.#start(
      ...(['dhcpcd', '-6', '-B', '-T', '--nodelay', '-f', '/dev/null', '-c', this.#hook, 'node2'] as const),
    );
    let rdisc6: string;
    // They hear what rdisc6 is told, too. A report is whole once the next one has begun.
    do rdisc6 = await this.#start('rdisc6', '-1', 'node1').output();
    while (ndptool.reports(ndptoolHead).length < 2 || radvdump.reports(radvdumpHead).length < 2);
    const reports = {
      rdisc6: linesOf(rdisc6),
      ndptool: linesOf(ndptool.reports(ndptoolHead)[0]!),
      radvdump: statementsOf(radvdump.reports(radvdumpHead)[0]!),
      kernel: await this.#kernel(),
    };
    // Told that there is DHCPv6 it would wait for that as well.
    await eventually(() => existsSync(this.#heard));
    for (const program of [ndptool, radvdump, dhcpcd]) {
      program.kill();
      await program.output();
    }
    const heard = linesOf(readFileSync(this.#heard, 'utf8')).filter((line) => !/^nd1_(acquired|now)=/.test(line));
    return { ...reports, dhcpcd: heard };
  }

  #start(command: string, ...args: string[]): Program {
    return new Program(this.#t, this.#peer, command, ...args);
  }

  async #kernel(): Promise<string[]> {
    await eventually(() => this.#advertisements() > this.#heardBefore);
    return [
      ...kernelSettings.map(([name, path]) => `${name} ${this.#peer.run('cat', `/proc/sys/net/ipv6/${path}`).trim()}`),
      // Without the two settings, which each says again.
      ...linesOf(this.#peer.ip('-6 route show dev node1').replaceAll(/ (mtu|hoplimit) \d+/g, '')),
      ...linesOf(this.#peer.ip('-6 -o addr show dev node1 scope global')),
    ];
  }

  #advertisements(): number {
    const counters = this.#peer.run('cat', '/proc/net/dev_snmp6/node1');
    return Number(/^Icmp6InRouterAdvertisements\s+(\d+)/m.exec(counters)![1]);
  }
}

function addLink(peer: PeerNamespace, number: number): void {
  ip(
    `link add eth${number} address ${ownMac} type veth peer name node${number} address 02:00:00:00:01:0${number} netns ${peer.pid}`,
  );
  ip(`addr add fe80::1/64 dev eth${number} nodad`);
  ip(`link set eth${number} up`);
  peer.ip(`link set node${number} up`);
}

function linesOf(text: string): string[] {
  return (
    text
      .split('\n')
      .map((line) => line.replaceAll(/\s+/g, ' ').trim())
      // What is left of a lifetime, in tens of seconds: time passes.
      .map((line) => line.replaceAll(/(\d+)(?=sec)/g, (seconds) => String(Math.ceil(Number(seconds) / 10) * 10)))
      .filter((line) => line !== '')
  );
}

/** radvdump writes radvd.conf(5): each block is one line. */
function statementsOf(text: string): string[] {
  const flat = text
    .replace(/# radvd configuration generated[\s\S]*/, '')
    .replaceAll(/#.*/g, '')
    .replaceAll(/\s+/g, ' ');
  const inner = flat.slice(flat.indexOf('{') + 1);
  const blocks = inner.match(/[^;{}]+\{[^}]*\}/g) ?? [];
  const plain = inner.replaceAll(/[^;{}]+\{[^}]*\};?/g, '').split(/[;}]/);
  return [...plain, ...blocks].map((one) => one.trim()).filter((one) => one !== '');
}
