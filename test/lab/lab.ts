/** Builds the network of plan.ts from namespaces, and takes it down again whatever happens. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clusterNodes, macOf, type NodeName, type NodePlan, nodePlans, upstream6 } from './plan.ts';
import { describe, type ExecOptions, LabProcess, mustExec, type Result, waitFor } from './process.ts';
import { type LabRecord, processStart, takeDown, takeDownAbandoned, writeRecord } from './record.ts';

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** An address of an interface, as `ip -j address` tells it. */
export interface InterfaceAddress {
  readonly local: string;
  readonly scope: string;
  readonly tentative?: boolean;
  readonly dynamic?: boolean;
  readonly valid_life_time?: number;
  readonly preferred_life_time?: number;
}

/** One namespace with its programs. */
export class Node {
  readonly name: NodeName;
  readonly namespace: string;

  /** Everything started here, so that what has not reached the namespace yet when the lab closes is ended too. */
  readonly #started = new Set<LabProcess>();

  constructor(name: NodeName, namespace: string) {
    this.name = name;
    this.namespace = namespace;
  }

  /** Runs a program here to its end. */
  exec(argv: readonly string[], options: ExecOptions = {}): Promise<Result> {
    return this.spawn(argv, { timeoutMs: 15_000, ...options }).exited;
  }

  /**
   * Runs a program here that has to succeed and returns what it printed.
   * @throws {Error}
   */
  async mustExec(argv: readonly string[], options: ExecOptions = {}): Promise<string> {
    const result = await this.exec(argv, options);
    if (result.code !== 0) throw new Error(`${this.name}$ ${argv.join(' ')}: ${describe(result)}`);
    return result.stdout;
  }

  /** Starts a program that stays. */
  spawn(argv: readonly string[], options: ExecOptions = {}): LabProcess {
    const program = new LabProcess(`${this.name}: ${argv[0]}`, this.#in(argv), options);
    this.#started.add(program);
    void program.exited.then(() => this.#started.delete(program));
    return program;
  }

  killAll(): void {
    for (const program of this.#started) program.kill('SIGKILL');
  }

  /** IPv6 addresses of an interface. */
  async addresses(device: string): Promise<InterfaceAddress[]> {
    const text = await mustExec(['ip', '-n', this.namespace, '-j', '-6', 'address', 'show', 'dev', device]);
    const found = JSON.parse(text) as { addr_info?: InterfaceAddress[] }[];
    return found.flatMap((link) => link.addr_info ?? []);
  }

  async setLink(device: string, state: 'up' | 'down'): Promise<void> {
    await mustExec(['ip', '-n', this.namespace, 'link', 'set', device, state]);
  }

  /** resolv.conf(5) for programs here (ip-netns(8): files under /etc/netns/NAME appear in /etc). */
  writeResolvConf(text: string): void {
    const folder = join('/etc/netns', this.namespace);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'resolv.conf'), text);
  }

  #in(argv: readonly string[]): string[] {
    return ['ip', 'netns', 'exec', this.namespace, ...argv];
  }
}

/** The whole lab. */
export class Lab {
  readonly id: string;
  /** For configuration, logs and data; goes with the lab. */
  readonly directory: string;
  readonly #record: LabRecord;
  readonly #nodes: ReadonlyMap<NodeName, Node>;
  readonly #onExit = () => this.#takeDown();
  readonly #onSignal = (signal: NodeJS.Signals) => process.exit(signal === 'SIGINT' ? 130 : 143);
  #closed = false;

  private constructor(id: string) {
    this.id = id;
    this.directory = mkdtempSync(join(tmpdir(), `v6edge-lab-${id}-`), { encoding: 'utf8' });
    const named = (name: string) => `v6e-${id}-${name}`;
    this.#nodes = new Map(nodePlans.map(({ name }) => [name, new Node(name, named(name))]));
    const namespaces = [named('switch'), ...[...this.#nodes.values()].map((node) => node.namespace)];
    this.#record = {
      id,
      runner: { pid: process.pid, started: processStart(process.pid) ?? '' },
      namespaces,
      directories: [this.directory, ...namespaces.map((namespace) => join('/etc/netns', namespace))],
    };
  }

  /**
   * Builds the network. Cluster nodes' private links stay down until `connect`, so that whatever runs on the edge can
   * be there before the first solicitation. Labs that a killed runner left behind are taken down first.
   */
  static async create(): Promise<Lab> {
    takeDownAbandoned();
    const lab = new Lab(`${process.pid.toString(36)}${randomBytes(2).toString('hex')}`);
    writeRecord(lab.#record);
    process.on('exit', lab.#onExit);
    for (const signal of signals) process.on(signal, lab.#onSignal);
    try {
      await lab.#build();
      return lab;
    } catch (error) {
      lab.close();
      throw error;
    }
  }

  node(name: NodeName): Node {
    return this.#nodes.get(name)!;
  }

  /** Makes a folder in the lab's directory; returns its path. */
  folder(name: string): string {
    const path = join(this.directory, name);
    mkdirSync(path, { recursive: true, mode: 0o755 });
    return path;
  }

  /** Writes a file into the lab's directory; returns its path. */
  file(name: string, text: string | Uint8Array, mode = 0o644): string {
    const path = join(this.directory, name);
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(path, text, { mode });
    return path;
  }

  /** Sets the cluster nodes' private links up: they solicit routers from now on. */
  async connect(names: readonly NodeName[] = clusterNodes): Promise<void> {
    await Promise.all(names.map((name) => this.node(name).setLink('prv0', 'up')));
  }

  /** Ends every program and removes everything. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    process.off('exit', this.#onExit);
    for (const signal of signals) process.off(signal, this.#onSignal);
    this.#takeDown();
  }

  #takeDown(): void {
    for (const node of this.#nodes.values()) node.killAll();
    takeDown(this.#record);
  }

  async #build(): Promise<void> {
    const [hub, ...rest] = this.#record.namespaces;
    await batch([...[hub!, ...rest].map((name) => `netns add ${name}`)]);
    // Before any link exists: bridges forward frames and nothing else; nodes do as Kubernetes wants them to.
    await Promise.all([
      sysctl(hub!, ['net.ipv6.conf.all.disable_ipv6=1', 'net.ipv6.conf.default.disable_ipv6=1']),
      ...nodePlans.map((plan) => sysctl(this.node(plan.name).namespace, nodeSysctls(plan))),
    ]);
    await batch([
      `link add br-pub netns ${hub} type bridge mcast_snooping 0`,
      `link add br-prv netns ${hub} type bridge mcast_snooping 0`,
      ...nodePlans.flatMap((plan) => this.#veths(plan, hub!)),
    ]);
    await Promise.all([
      batch(hubCommands(), hub),
      ...nodePlans.map((plan) => batch(nodeCommands(plan), this.node(plan.name).namespace)),
    ]);
    const edge = this.node('edge');
    await waitFor('carrier on the edge', async () =>
      (await edge.exec(['cat', '/sys/class/net/pub0/carrier'])).stdout.startsWith('1'),
    );
  }

  #veths(plan: NodePlan, hub: string): string[] {
    const { namespace } = this.node(plan.name);
    const pair = (device: string, port: string, mac: string) =>
      `link add ${device} netns ${namespace} address ${mac} type veth peer name ${port} netns ${hub}`;
    return [
      pair('pub0', `pub-${plan.name}`, macOf(plan, 'public')),
      ...(plan.private === undefined ? [] : [pair('prv0', `prv-${plan.name}`, macOf(plan, 'private'))]),
    ];
  }
}

/** Commands for `ip -batch`. */
async function batch(commands: readonly string[], namespace?: string): Promise<void> {
  const where = namespace === undefined ? [] : ['-n', namespace];
  await mustExec(['ip', ...where, '-batch', '-'], { input: `${commands.join('\n')}\n` });
}

async function sysctl(namespace: string, settings: readonly string[]): Promise<void> {
  await mustExec(['ip', 'netns', 'exec', namespace, 'sysctl', '-q', '-w', ...settings]);
}

function nodeSysctls(plan: NodePlan): string[] {
  // Only the cluster's nodes listen to advertisements, on the private network; see nodeCommands.
  const quiet = ['net.ipv6.conf.all.accept_ra=0', 'net.ipv6.conf.default.accept_ra=0'];
  if (plan.private !== 'slaac') return quiet;
  // A Kubernetes node forwards. The kernel then ignores advertisements unless accept_ra is 2.
  return ['net.ipv6.conf.all.forwarding=1', 'net.ipv6.conf.default.forwarding=1', 'net.ipv6.conf.default.accept_ra=2'];
}

function hubCommands(): string[] {
  return [
    'link set lo up',
    'link set br-pub up',
    'link set br-prv up',
    ...nodePlans.flatMap((plan) => [
      `link set pub-${plan.name} master br-pub up`,
      ...(plan.private === undefined ? [] : [`link set prv-${plan.name} master br-prv up`]),
    ]),
  ];
}

function nodeCommands(plan: NodePlan): string[] {
  // Static addresses skip duplicate address detection, link-local ones do not: daemons meet the real thing.
  const address = (device: string) => (text: string) =>
    `address add ${text} dev ${device}${text.includes(':') ? ' nodad' : ''}`;
  const isStatic = Array.isArray(plan.private);
  return [
    'link set lo up',
    ...plan.public.map(address('pub0')),
    'link set pub0 up',
    ...(isStatic ? (plan.private as string[]).map(address('prv0')) : []),
    ...(isStatic ? ['link set prv0 up'] : []),
    ...(plan.private === 'slaac' ? [`route add ::/0 via ${upstream6} dev pub0`] : []),
  ];
}
