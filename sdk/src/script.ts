// The one script of a page: <script src="/track.js" async></script>
// defines window.trackEvent.  Events go to /track of the script's own origin, or
// to what data-endpoint says (relative to the page).

import { init, trackEvent } from './index.js';

declare global {
  interface Window {
    trackEvent: typeof trackEvent;
  }
}

function endpointOf(script: HTMLScriptElement | SVGScriptElement | null): string {
  const given = script?.getAttribute('data-endpoint');
  const source = script?.getAttribute('src') ?? '';

  return given
    ? new URL(given, document.baseURI).href
    : new URL('/track', new URL(source, document.baseURI)).href;
}

try {
  init({ endpoint: endpointOf(document.currentScript) });
} catch {
  // No URL to be made of it (a page from data: or about:): /track stays.
}

window.trackEvent = trackEvent;
