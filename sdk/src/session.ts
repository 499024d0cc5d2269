// The session id: one for each tab, as long as the tab lives, kept in
// sessionStorage.  Where storage throws or is missing (blocked cookies, sandboxed
// frames, servers), it lives as long as the page.

import { isUuid, uuidv7 } from './ids.js';

const KEY = 'track.session';

let inMemory: string | undefined;

/** This tab's session id; the first call makes it. */
export function sessionId(): string {
  inMemory ??= stored() ?? remember(uuidv7());
  return inMemory;
}

function stored(): string | undefined {
  try {
    const value = sessionStorage.getItem(KEY);
    return isUuid(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function remember(id: string): string {
  try {
    sessionStorage.setItem(KEY, id);
  } catch {
    // The id in memory is all there is.
  }
  return id;
}
