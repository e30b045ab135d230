/** Router preference, two bits (RFC 4191 §2.1). */
export type RouterPreference = 'low' | 'medium' | 'high';

const bits: Readonly<Record<RouterPreference, number>> = { high: 0b01, medium: 0b00, low: 0b11 };

/** The preference as it stands in bits 4 and 3 of a flags octet. */
export function encodePreference(preference: RouterPreference): number {
  return bits[preference] << 3;
}

/** Reads bits 4 and 3 of a flags octet; undefined for the reserved value. */
export function parsePreference(flags: number): RouterPreference | undefined {
  switch ((flags >> 3) & 0b11) {
    case 0b00:
      return 'medium';
    case 0b01:
      return 'high';
    case 0b11:
      return 'low';
    default:
      return undefined;
  }
}
