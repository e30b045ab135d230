/** What an upstream says in the OPT record of its reply (RFC 6891 §6.1): meant for us, not for the client. */
import { COOKIE_OPTION } from '../cookies.ts';
import { EDE, EXTENDED_ERROR_OPTION } from '../extended-error.ts';
import { readUint16 } from '../wire/bytes.ts';
import { type RecordVisitor, scanRecords } from '../wire/scan.ts';
import { SECTION, TYPE } from '../wire/types.ts';

export class ReplyOptions implements RecordVisitor {
  /** Whether there is an OPT record. */
  present = false;
  /** The upper eight bits of the response code. */
  upperRcode = 0;
  /** Data of the COOKIE option: a view into the reply. */
  cookie: Uint8Array | undefined;
  extendedError: number = EDE.NONE;
  readonly #reply: Uint8Array;

  /** Of a reply that may be malformed: then of what is not. */
  constructor(reply: Uint8Array) {
    this.#reply = reply;
    scanRecords(reply, this);
  }

  record(
    section: number,
    type: number,
    _class: number,
    _owner: number,
    ttlOffset: number,
    _ttl: number,
    rdata: number,
    length: number,
  ): void {
    if (type !== TYPE.OPT || section !== SECTION.ADDITIONAL || this.present) return;
    this.present = true;
    this.upperRcode = this.#reply[ttlOffset]!;
    const end = rdata + length;
    for (let at = rdata; at + 4 <= end; ) {
      const code = readUint16(this.#reply, at);
      const next = at + 4 + readUint16(this.#reply, at + 2);
      if (next > end) return;
      if (code === COOKIE_OPTION) this.cookie ??= this.#reply.subarray(at + 4, next);
      else if (code === EXTENDED_ERROR_OPTION && next - at >= 6) this.extendedError = readUint16(this.#reply, at + 4);
      at = next;
    }
  }
}
