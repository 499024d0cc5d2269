// What the page tells about itself: read anew for every event, since title and
// URL change.  All values are strings; what is empty or cannot be read is left
// out.  Works where there is no page (servers): then only the SDK's own name and
// what the runtime knows remain.

declare const SDK_VERSION: string;

/** The members of an event's context. */
export interface Context {
  page_url?: string;
  page_title?: string;
  referrer?: string;
  locale?: string;
  timezone?: string;
  screen?: string;
  viewport?: string;
  sdk: string;
}

const readers: Record<Exclude<keyof Context, 'sdk'>, () => string | undefined> = {
  page_url: () => location.href,
  page_title: () => document.title,
  referrer: () => document.referrer,
  locale: () => navigator.language,
  timezone: () => Intl.DateTimeFormat().resolvedOptions().timeZone,
  screen: () => `${screen.width}x${screen.height}`,
  viewport: () => `${innerWidth}x${innerHeight}`,
};

/** The context of an event that happens now. */
export function context(): Context {
  const found: Context = { sdk: `nginx-track/${SDK_VERSION}` };

  for (const [name, read] of Object.entries(readers)) {
    try {
      const value = read();
      if (value) {
        found[name as keyof typeof readers] = value;
      }
    } catch {
      // No such global here.
    }
  }

  return found;
}
