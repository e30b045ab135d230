/** The admin API, with the token if the user gave one. */
import { byId } from './dom.js';

const tokenKey = 'v6edge-token';

/** What went wrong, in the API's words. */
export class ApiError extends Error {
  /** @param {number} status @param {string} message @param {string | null} token what was sent */
  constructor(status, message, token) {
    super(message);
    this.status = status;
    this.token = token;
  }

  /** The user has given another token since this was asked. */
  get isLate() {
    return this.status === 401 && this.token !== sessionStorage.getItem(tokenKey);
  }
}

/**
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<Response>}
 * @throws {ApiError}
 */
export async function call(path, options = {}) {
  const token = sessionStorage.getItem(tokenKey);
  const response = await fetch(path, {
    ...options,
    headers: {
      ...(token !== null && { authorization: `Bearer ${token}` }),
      .../** @type {Record<string, string>} */ (options.headers),
    },
  });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({ detail: `status ${response.status}` }));
  throw new ApiError(response.status, problem.detail, token);
}

/** @param {string} path */
export async function get(path) {
  return await (await call(path)).json();
}

/**
 * Sends a change; asks for the token when one is needed, and tries again.
 * @param {string} method @param {string} path @param {unknown} body
 */
export async function change(method, path, body) {
  const send = () =>
    call(path, { method, body: JSON.stringify(body), headers: { 'content-type': 'application/json' } });
  try {
    return await send();
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 401) throw error;
    if (!error.isLate && !(await askForToken())) throw error;
    return await send();
  }
}

/** @type {Promise<boolean> | undefined} */
let asked;

/** Opens the dialog; whether a token was given. Who asks while it is open gets the same answer. */
export function askForToken() {
  asked ??= showDialog().finally(() => {
    asked = undefined;
  });
  return asked;
}

/** @returns {Promise<boolean>} */
function showDialog() {
  const dialog = /** @type {HTMLDialogElement} */ (byId('token-dialog'));
  const input = /** @type {HTMLInputElement} */ (byId('token-input'));
  input.value = '';
  dialog.returnValue = 'cancel';
  dialog.showModal();
  input.focus();
  return new Promise((resolve) => {
    dialog.addEventListener(
      'close',
      () => {
        const given = dialog.returnValue === 'ok';
        if (given && input.value === '') sessionStorage.removeItem(tokenKey);
        else if (given) sessionStorage.setItem(tokenKey, input.value.trim());
        input.value = '';
        resolve(given);
      },
      { once: true },
    );
  });
}

/**
 * Reads server-sent events (EventSource cannot send a token); begins again when the connection ends, after what came last.
 * @param {string} path
 * @param {(event: { id: string, kind: string, data: any }) => void} onEvent
 */
export async function readEvents(path, onEvent) {
  let lastId = '0';
  for (;;) {
    try {
      const response = await call(path, { headers: { 'last-event-id': lastId } });
      const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
      const decoder = new TextDecoder();
      let rest = '';
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const parts = (rest + decoder.decode(value, { stream: true })).split('\n\n');
        rest = parts.pop() ?? '';
        for (const part of parts) {
          const fields = Object.fromEntries(part.split('\n').map((line) => line.split(/: ?(.*)/s, 2)));
          if (fields.data === undefined) continue;
          lastId = fields.id ?? lastId;
          onEvent({ id: lastId, kind: fields.event, data: JSON.parse(fields.data) });
        }
      }
    } catch {
      // The page says elsewhere that the daemon cannot be reached.
    }
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}
