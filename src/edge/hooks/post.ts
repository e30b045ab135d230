/**
 * Posts JSON.
 * @throws {Error} the answer's status is not 2xx, or there is none
 */
export async function postJson(url: string, body: string, signal: AbortSignal): Promise<void> {
  const headers = { 'content-type': 'application/json', 'user-agent': 'v6edge' };
  const response = await fetch(url, { method: 'POST', headers, body, signal, redirect: 'error' });
  // Read and thrown away, so that the connection is free again.
  await response.body?.cancel();
  if (!response.ok) throw new Error(`status ${response.status}`);
}
