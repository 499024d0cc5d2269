// One call for the whole shop: sends an event with the SDK, shows what was sent
// and its verdict in the panel, and tells listeners ("shop:verdict" on document).

const KEPT = 30;

const list = document.getElementById('panel-list');
const summary = document.getElementById('panel-summary');
const toggle = document.getElementById('panel-toggle');
const panel = document.getElementById('panel');
const counts = { sent: 0, accepted: 0, rejected: 0, failed: 0 };

/** Sends an event; fields are those of schema.sql. */
export async function track(eventType, fields) {
  const entry = addEntry(eventType, fields);
  const start = performance.now();
  const verdict = await send(eventType, fields);
  const ms = Math.round(performance.now() - start);

  showVerdict(entry, verdict, ms);
  document.dispatchEvent(new CustomEvent('shop:verdict', { detail: { event_type: eventType, fields, verdict } }));
}

// Ad blockers may have taken the SDK away: the shop goes on without it.
async function send(eventType, fields) {
  if (typeof window.trackEvent !== 'function') {
    return { event_id: '', status: 'failed', error: { code: 'network', message: '/track.js could not be loaded' } };
  }
  return window.trackEvent(eventType, fields);
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text ?? '';
  return made;
}

function addEntry(eventType, fields) {
  const entry = element('li', 'entry');
  const head = element('div', 'entry-head');
  const values = Object.entries(fields).map(([name, value]) => `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`);

  head.append(element('strong', '', eventType), element('span', 'badge waiting', 'sending'));
  entry.append(head, element('p', 'entry-fields', values.join(' · ')));
  list.prepend(entry);
  while (list.children.length > KEPT) {
    list.lastElementChild.remove();
  }

  counts.sent += 1;
  showSummary();
  return entry;
}

function showVerdict(entry, verdict, ms) {
  const badge = entry.querySelector('.badge');
  const reasons = verdict.errors ?? (verdict.error ? [verdict.error] : []);

  badge.className = `badge ${verdict.status}`;
  badge.textContent = `${verdict.status} · ${ms} ms`;
  for (const { code, field, message } of reasons) {
    entry.append(element('p', 'entry-error', `${code}${field ? ` (${field})` : ''}: ${message}`));
  }

  counts[verdict.status] += 1;
  showSummary();
}

function showSummary() {
  const { sent, accepted, rejected, failed } = counts;
  const waiting = sent - accepted - rejected - failed;
  const parts = [[accepted, 'accepted'], [rejected, 'rejected'], [failed, 'failed'], [waiting, 'on the way']];

  summary.textContent = parts.filter(([count]) => count).map(([count, word]) => `${count} ${word}`).join(' · ');
  panel.dataset.state = failed ? 'failed' : rejected ? 'rejected' : waiting ? 'waiting' : 'accepted';
}

toggle.addEventListener('click', () => {
  const body = document.getElementById('panel-body');
  body.hidden = !body.hidden;
  toggle.setAttribute('aria-expanded', String(!body.hidden));
});

// price is no number, quantity is missing, colour is not defined: three reasons.
document.getElementById('panel-wrong').addEventListener('click', () => {
  track('add_to_cart', { product_id: 'kk-101', price: 'free', colour: 'blue' });
});
