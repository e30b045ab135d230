/** How a TCP connection fares, as the kernel keeps it (`struct tcp_info`, linux/tcp.h). */
import { IPPROTO_TCP } from './constants.ts';
import { getSocketBytes, kernelBuffer } from './libc.ts';

const TCP_INFO = 11;
/** Up to and with tcpi_segs_out; the kernel cuts what it gives to the room there is. */
const infoBytes = 140;
// Eight bytes of state and flags, then u32s: the same on all architectures.
const timeoutsAt = 2;
const lostAt = 32;
const lastDataSentAt = 44;
const lastDataReceivedAt = 52;
const rttAt = 68;
const totalRetransAt = 100;
const segsOutAt = 136;

export interface TcpInfo {
  /** Smoothed round-trip time (RFC 6298), microseconds; 0 = not measured. */
  readonly rttMicros: number;
  /** Segments sent again, ever. */
  readonly retransmits: number;
  /** Segments on their way that count as lost now. */
  readonly lost: number;
  /** Segments sent, ever, retransmissions and bare acknowledgements included. */
  readonly segments: number;
  /** Retransmission timeouts since the peer last acknowledged something new. */
  readonly timeouts: number;
  /** Milliseconds since data was last received, and sent or sent again; from when the connection was made, where none was. */
  readonly sinceReceivedMs: number;
  readonly sinceSentMs: number;
}

const info = kernelBuffer(infoBytes);

/** Undefined when the descriptor is no TCP socket, or the kernel tells less (before Linux 4.2). */
export function tcpInfo(fd: number): TcpInfo | undefined {
  if (getSocketBytes(fd, IPPROTO_TCP, TCP_INFO, info) < infoBytes) return undefined;
  return {
    rttMicros: info.readUInt32LE(rttAt),
    retransmits: info.readUInt32LE(totalRetransAt),
    lost: info.readUInt32LE(lostAt),
    segments: info.readUInt32LE(segsOutAt),
    timeouts: info[timeoutsAt]!,
    sinceReceivedMs: info.readUInt32LE(lastDataReceivedAt),
    sinceSentMs: info.readUInt32LE(lastDataSentAt),
  };
}
