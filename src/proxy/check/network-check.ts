/**
 * One health check: connect, PROXY header if the pool sends one, TLS handshake for tls and https, then one request for http
 * and https, or the steps of a conversation. It ends with one result, at the latest after its timeout, and closes in a way that costs the member no
 * connection reset: our FIN first, then whatever the member still sends is read and thrown away, within limits.
 */
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { connect, isIP, Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { parseAddress } from '../../core/address.ts';
import type { Clock, Timer } from '../../core/clock.ts';
import { errorCode, errorMessage } from '../../core/errors.ts';
import { encodeSockaddr } from '../../linux/sockaddr.ts';
import { tcpInfo } from '../../linux/tcp-info.ts';
import { spanAddress, spanOfAddress } from '../span.ts';
import {
  encodeV2,
  maxHeaderBytes as maxIntroductionBytes,
  tcpHead,
  v1Unknown,
  v2Local,
  writeV1,
} from '../wire/header.ts';
import { Conversation } from './conversation.ts';
import type { CheckCode, CheckResult, CheckTarget } from './result.ts';

/** PROXY headers of a connection of our own. */
const localV2 = Buffer.from(v2Local);
/** PROXY protocol v1 for connections that stand for no client (§2.1). */
const localV1 = Buffer.from(v1Unknown, 'latin1');

/** Response headers beyond this are a failed check; kube-apiserver and nginx send well under 1 KiB. */
const maxHeaderBytes = 16 * 1024;
/** What is read and thrown away after the verdict; a member that sends more is cut off. */
const maxDrainBytes = 64 * 1024;
/** How long a member has to close after we did. */
const lingerMs = 1000;

type Layer = 'L4' | 'L6' | 'L7';

/** How a member took a PROXY header that nothing followed. */
export type Reaction = 'alert' | 'http' | 'reset' | 'closed';

/** What the PROXY header of a check says: that the connection stands for no client, or that we are one. */
export type Introduction = 'local' | 'client';

/** A reaction to the header comes within a few round trips; this is waited for at least, and at most. */
const minReactionMs = 50;
const maxReactionMs = 500;

/** One check, as it went. `reaction` is set for checks of type tcp that sent a header. */
export interface Observed extends CheckResult {
  readonly reaction?: Reaction;
}

export class NetworkCheck {
  readonly #target: CheckTarget;
  readonly #clock: Clock;
  readonly #done: (result: Observed) => void;
  readonly #introduction: Introduction;
  readonly #startedAt: number;
  readonly #socket: Socket;
  #tls: TLSSocket | undefined;
  #request: ClientRequest | undefined;
  #timer: Timer;
  #conversation: Conversation | undefined;
  #layer: Layer = 'L4';
  #settled = false;
  #cancelled = false;
  #drained = 0;
  /** When the header of a tcp check was sent. */
  #introducedAt: number | undefined;

  /** Starts a check; `done` is called once, unless the check is cancelled before. */
  constructor(
    target: CheckTarget,
    clock: Clock,
    done: (result: Observed) => void,
    introduction: Introduction = 'local',
  ) {
    this.#target = target;
    this.#introduction = introduction;
    this.#clock = clock;
    this.#done = done;
    this.#startedAt = clock.now();
    // Node would take any other interface instead.
    const fault = zoneFault(target.address);
    if (fault === undefined) {
      this.#timer = clock.after(target.timeoutMs, () => this.#onTimeout());
      this.#socket = connect({ host: target.address, port: target.port, noDelay: true });
    } else {
      this.#timer = clock.after(0, () => this.#fail('L4CON', fault));
      this.#socket = new Socket();
    }
    // An error may come at any time, also after the verdict: it must never be an uncaught one.
    this.#socket.on('error', (error) => this.#onError(error));
    this.#socket.on('close', () => this.#onClose());
    this.#socket.on('connect', () => this.#onConnect());
  }

  cancel(): void {
    this.#settled = true;
    this.#cancelled = true;
    this.#destroy();
  }

  #onConnect(): void {
    const { type, proxyProtocol } = this.#target;
    if (proxyProtocol !== 'none') this.#socket.write(this.#header());
    if (type === 'tcp' && this.#target.steps.length > 0) {
      this.#converse(this.#socket);
    } else if (type === 'tcp' && (proxyProtocol !== 'none' || this.#introduction === 'client')) {
      this.#awaitReaction();
    } else if (type === 'tcp') {
      this.#succeed('L4OK', 'connected');
    } else if (type === 'http') {
      this.#sendRequest(this.#socket);
    } else {
      this.#startTls();
    }
  }

  #header(): Buffer {
    const v1 = this.#target.proxyProtocol === 'v1';
    const { localAddress, localPort, remoteAddress, remotePort } = this.#socket;
    // A connection that is gone again has no addresses.
    if (this.#introduction === 'local' || localAddress === undefined || remoteAddress === undefined) {
      return v1 ? localV1 : localV2;
    }
    const source = spanOfAddress(parseAddress(localAddress), localPort!);
    const destination = spanOfAddress(parseAddress(remoteAddress), remotePort!);
    if (!v1) return Buffer.from(encodeV2(tcpHead(source, destination), [], false));
    const bytes = Buffer.alloc(maxIntroductionBytes);
    return bytes.subarray(0, writeV1(bytes, source, destination, spanAddress));
  }

  /**
   * Who can read the header waits for what follows it, or speaks; who cannot takes it for a broken request or TLS record. A
   * connect alone would call that healthy.
   */
  #awaitReaction(): void {
    const now = this.#clock.now();
    this.#introducedAt = now;
    const patience = Math.min(maxReactionMs, Math.max(minReactionMs, 4 * (now - this.#startedAt)));
    this.#timer.cancel();
    this.#timer = this.#clock.after(Math.min(patience, this.#target.timeoutMs / 2), () =>
      this.#succeed('L4OK', 'connected'),
    );
    this.#socket.once('data', (first: Buffer) => {
      if (this.#settled) return;
      // TLS 1.3, RFC 8446 §5.1: content type alert (21), legacy version 3.x.
      if (first[0] === 21 && first[1] === 3) this.#react('alert');
      else if (first.subarray(0, 5).toString('latin1') === 'HTTP/') this.#react('http');
      else this.#succeed('L4OK', 'connected');
    });
    // An end is noticed by reading alone.
    this.#socket.once('end', () => this.#react('closed'));
  }

  #react(reaction: Reaction): void {
    if (this.#settled) return;
    this.#settle(false, 'L6RSP', `${reaction} after the PROXY header`, { reaction });
    this.#destroy();
  }

  #startTls(): void {
    this.#layer = 'L6';
    const { address, host, sni, type, verify, ca } = this.#target;
    const servername = sni ?? serverName(host);
    const options: ConnectionOptions = {
      socket: this.#socket,
      // Whose name or address the certificate must have, if it is verified.
      host: servername ?? address,
      // Unless told otherwise a check asks whether the member answers, not who it is.
      rejectUnauthorized: verify,
    };
    if (ca !== undefined) options.ca = ca;
    if (servername !== undefined) options.servername = servername;
    if (type === 'https') options.ALPNProtocols = ['http/1.1'];
    const tls = connectTls(options);
    this.#tls = tls;
    tls.on('error', (error) => this.#onError(error));
    tls.on('close', () => this.#onClose());
    tls.on('secureConnect', () => {
      if (this.#settled) return;
      if (type === 'tls' && this.#target.steps.length > 0) this.#converse(tls);
      else if (type === 'tls') this.#succeed('L6OK', `TLS handshake done (${tls.getProtocol()})`);
      else this.#sendRequest(tls);
    });
  }

  #converse(stream: Socket): void {
    this.#layer = 'L7';
    this.#conversation = new Conversation(stream, this.#target.steps, (failure) => {
      if (this.#settled) return;
      if (failure === undefined) this.#succeed('L7OK', `all ${this.#target.steps.length} steps went well`);
      else this.#fail('L7RSP', failure);
    });
  }

  #sendRequest(stream: Socket): void {
    this.#layer = 'L7';
    const { address, port, host, method, path } = this.#target;
    // A zone is a name of ours, and stays out of what goes to others (RFC 6874 §4).
    const literal = isIP(address) === 6 ? `[${address.replace(/%.*/, '')}]` : address;
    try {
      // Without an agent there is no keep-alive: the request carries `Connection: close`.
      this.#request = request({
        createConnection: () => stream,
        method,
        path,
        headers: { Host: host ?? `${literal}:${port}`, 'User-Agent': 'v6edge-check', Accept: '*/*' },
        setDefaultHeaders: true,
        maxHeaderSize: maxHeaderBytes,
      });
    } catch (error) {
      this.#fail('SOCKERR', `the request cannot be made: ${errorMessage(error)}`);
      return;
    }
    this.#request.on('error', (error) => this.#onError(error));
    this.#request.on('response', (response) => this.#onResponse(response));
    this.#request.on('upgrade', (response, socket) => {
      this.#onResponse(response);
      socket.destroy();
    });
    this.#request.end();
  }

  #onResponse(response: IncomingMessage): void {
    const status = response.statusCode ?? 0;
    const { expect, method, path } = this.#target;
    const words = `${method} ${path} answered ${status}`;
    if (expect.includes(status)) {
      this.#settle(true, 'L7OK', words);
    } else {
      this.#settle(false, 'L7STS', `${words}, expected ${expect.join(' or ')}`);
    }
    this.#drain(response);
  }

  #onTimeout(): void {
    const what = { L4: 'no connection', L6: 'no TLS handshake', L7: 'no response' }[this.#layer];
    const where = this.#conversation === undefined ? what : this.#conversation.missing;
    this.#fail(`${this.#layer}TOUT`, `${where} within ${this.#target.timeoutMs} ms`);
  }

  #onError(error: Error): void {
    if (this.#settled) return;
    const lack = ownLacks[errorCode(error) ?? ''];
    if (lack !== undefined && this.#layer === 'L4') this.#giveUp(`the check cannot be made: ${lack}`);
    else if (this.#introducedAt !== undefined) this.#react('reset');
    else if (this.#layer === 'L4') this.#fail('L4CON', connectFailure(error));
    else this.#fail(`${this.#layer}RSP`, responseFailure(error));
  }

  #onClose(): void {
    if (this.#settled) this.#destroy();
    else if (this.#introducedAt !== undefined) this.#react('closed');
    else if (this.#layer === 'L4') this.#fail('L4CON', 'connection closed');
    else if (this.#conversation !== undefined) {
      this.#fail('L7RSP', `${this.#conversation.missing} before the connection was closed`);
    } else this.#fail(`${this.#layer}RSP`, 'connection closed before the answer');
  }

  /** Connected, and nothing more is wanted: our FIN goes out, through the TLS layer with its close_notify. */
  #succeed(code: CheckCode, reason: string): void {
    const stream = this.#tls ?? this.#socket;
    this.#settle(true, code, reason);
    this.#drain(stream);
    stream.end();
  }

  /** Closing with bytes unread would send a reset: they are read until the member closes, within limits. */
  #drain(stream: Socket | IncomingMessage): void {
    this.#timer.cancel();
    if (this.#cancelled) return;
    this.#timer = this.#clock.after(lingerMs, () => this.#destroy());
    stream.on('data', (chunk: Buffer) => {
      this.#drained += chunk.length;
      if (this.#drained > maxDrainBytes) this.#destroy();
    });
  }

  #fail(code: CheckCode, reason: string): void {
    this.#settle(false, code, reason);
    this.#destroy();
  }

  /** For want of something of ours. */
  #giveUp(reason: string): void {
    this.#settle(false, 'SOCKERR', reason, { inconclusive: true });
    this.#destroy();
  }

  #settle(ok: boolean, code: CheckCode, reason: string, more: Pick<Observed, 'reaction' | 'inconclusive'> = {}): void {
    if (this.#settled) return;
    this.#settled = true;
    // Hundredths: finer says nothing, and reads badly. What was waited for a reaction says nothing of the member.
    const endedAt = this.#introducedAt ?? this.#clock.now();
    const durationMs = Math.round((endedAt - this.#startedAt) * 100) / 100;
    const rttMs = this.#roundTrip();
    this.#done({ ok, code, reason, durationMs, ...(rttMs === undefined ? {} : { rttMs }), ...more });
  }

  #roundTrip(): number | undefined {
    // Node tells the descriptor of a connected socket nowhere else.
    const { _handle: handle } = this.#socket as unknown as { readonly _handle?: { readonly fd?: number } | null };
    if (handle?.fd === undefined || handle.fd < 0) return undefined;
    const micros = tcpInfo(handle.fd)?.rttMicros ?? 0;
    return micros === 0 ? undefined : Math.round(micros / 10) / 100;
  }

  #destroy(): void {
    this.#timer.cancel();
    this.#request?.destroy();
    this.#tls?.destroy();
    this.#socket.destroy();
  }
}

/** What is wrong with the zone id of an address, if anything. */
function zoneFault(text: string): string | undefined {
  const address = parseAddress(text);
  if (address.zone === undefined) return undefined;
  try {
    encodeSockaddr(address, 0);
    return undefined;
  } catch (error) {
    return errorMessage(error);
  }
}

/** The SNI name of a Host header: a DNS name without port, never an address (RFC 6066 §3). */
function serverName(host: string | undefined): string | undefined {
  const name = host?.replace(/:\d{1,5}$/, '');
  return name !== undefined && /^[\w.-]+$/.test(name) && isIP(name) === 0 ? name : undefined;
}

const connectFailures: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EHOSTUNREACH: 'no route to host',
  ENETUNREACH: 'network unreachable',
  ETIMEDOUT: 'connection timed out',
};

/** Errors of a connect that are no word of the member's or the network's. */
const ownLacks: Readonly<Record<string, string>> = {
  EMFILE: 'v6edge is out of descriptors (EMFILE)',
  ENFILE: 'the machine is out of descriptors (ENFILE)',
  ENOBUFS: 'the kernel is out of buffers (ENOBUFS)',
  ENOMEM: 'the kernel is out of memory (ENOMEM)',
  EADDRNOTAVAIL: 'no local address or port is free (EADDRNOTAVAIL)',
};

function connectFailure(error: Error): string {
  return connectFailures[errorCode(error) ?? ''] ?? errorMessage(error);
}

/** OpenSSL's X509_V_ERR_… as Node has them, and Node's own for a name that does not fit. */
const certificateErrors = /^(?!ERR_SSL_).*CERT|_ISSUER|_CA$|^CRL_|HOSTNAME_MISMATCH|LEAF_SIGNATURE/;

/** Node's and OpenSSL's errors after the connect, in plain words. */
function responseFailure(error: Error & { syscall?: string; reason?: string }): string {
  const code = errorCode(error) ?? '';
  if (code === 'ECONNRESET' && error.syscall !== undefined) return 'connection reset before the answer';
  // Node gives an end before the answer the code of a reset, but no system call.
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'connection closed before the answer';
  if (code === 'HPE_HEADER_OVERFLOW') return `response header larger than ${maxHeaderBytes} bytes`;
  if (code.startsWith('HPE_')) return `no HTTP response (${errorMessage(error)})`;
  // Node's advice after it is for who runs Node.
  const [words] = errorMessage(error).split('; if the root CA');
  if (certificateErrors.test(code)) return `certificate not accepted: ${words}`;
  // OpenSSL's own words stand in `reason`; its message is a dump.
  if (error.reason !== undefined) return `TLS handshake failed: ${error.reason}`;
  return errorMessage(error);
}
