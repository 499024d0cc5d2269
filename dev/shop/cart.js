// The cart: product id -> quantity, kept for the tab; in memory alone where
// storage is blocked.

import { byId } from './products.js';

const KEY = 'shop.cart';

let lines = load();

/** Lines of the cart: { product, quantity }. */
export const cartLines = () => [...lines].map(([id, quantity]) => ({ product: byId(id), quantity }));

export const cartCount = () => [...lines.values()].reduce((sum, quantity) => sum + quantity, 0);

export const cartTotal = () => euros(cartLines().reduce((sum, { product, quantity }) => sum + product.price * quantity, 0));

/** Rounds to cents. */
export const euros = (value) => Math.round(value * 100) / 100;

/** Sets how many of a product are in the cart; none takes it out. */
export function setQuantity(id, quantity) {
  if (quantity > 0) {
    lines.set(id, quantity);
  } else {
    lines.delete(id);
  }
  save();
}

export const quantityOf = (id) => lines.get(id) ?? 0;

export function emptyCart() {
  lines = new Map();
  save();
}

function load() {
  try {
    const entries = Object.entries(JSON.parse(sessionStorage.getItem(KEY) ?? '{}'));
    return new Map(entries.filter(([id, quantity]) => byId(id) && Number.isInteger(quantity) && quantity > 0));
  } catch {
    return new Map();
  }
}

function save() {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(Object.fromEntries(lines)));
  } catch {
    // The Map is all there is.
  }
}
