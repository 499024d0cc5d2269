// What each view looks like: functions from state to HTML text.  Pure; all text
// comes from products.js, nothing that a visitor typed is put into HTML.

import { categories, picture, products, stillLife } from './products.js';

const money = new Intl.NumberFormat('en-IE', { style: 'currency', currency: 'EUR' });

export const GIFT_WRAP = 4.5;

const price = (value) => `<span class="price">${money.format(value)}</span>`;

const card = (product) => `
  <a class="card" href="#/product/${product.id}" data-product="${product.id}">
    ${picture(product)}
    <span class="card-text"><strong>${product.name}</strong>
      ${product.inStock ? price(product.price) : '<span class="muted">Sold out</span>'}</span>
  </a>`;

export function listView(category) {
  const shown = products.filter((product) => !category || product.category === category);
  const chip = (value, name) => `
    <button type="button" class="chip" data-category="${value}" aria-pressed="${value === (category ?? '')}">${name}</button>`;

  return `
    <section class="hero">
      <div>
        <p class="eyebrow">Autumn firing</p>
        <h1>Pots for every day, made one at a time.</h1>
        <p>Thrown, glazed and fired by two people and a dog in a barn by the sea.</p>
      </div>
      ${stillLife()}
    </section>
    <div class="chips" role="group" aria-label="Category">
      ${chip('', 'Everything')}${Object.entries(categories).map(([value, name]) => chip(value, name)).join('')}
    </div>
    <div class="grid">${shown.map(card).join('')}</div>`;
}

export function productView(product) {
  const others = products.filter(({ id, category }) => id !== product.id && category === product.category).slice(0, 3);
  const buy = product.inStock ? `
    <form class="buy" id="buy">
      <div class="stepper">
        <button type="button" data-step="-1" aria-label="One less">−</button>
        <output id="quantity" aria-label="Quantity">1</output>
        <button type="button" data-step="1" aria-label="One more">+</button>
      </div>
      <button class="main" type="submit">Add to cart</button>
    </form>
    <p class="muted" id="added" role="status"></p>` : '<p class="sold">Sold out. The next firing is in spring.</p>';

  return `
    <nav class="crumbs" aria-label="Breadcrumb"><a href="#/">Collection</a> / ${categories[product.category]}</nav>
    <article class="product">
      ${picture(product)}
      <div>
        <h1>${product.name}</h1>
        <p class="big">${price(product.price)}</p>
        <p>${product.text}</p>
        <ul class="tags">${product.tags.map((tag) => `<li>${tag}</li>`).join('')}</ul>
        ${buy}
      </div>
    </article>
    <h2 class="more">Goes well with it</h2>
    <div class="grid small">${others.map(card).join('')}</div>`;
}

const emptyView = `
  <section class="empty"><h1>Your cart is empty</h1><p>Tea tastes better from something made by hand.</p>
  <a class="button" href="#/">See the collection</a></section>`;

export function cartView(lines, total) {
  const row = ({ product, quantity }) => `
    <li class="line">
      <a href="#/product/${product.id}" tabindex="-1">${picture(product)}</a>
      <div><a href="#/product/${product.id}"><strong>${product.name}</strong></a>
        <span class="muted">${quantity} × ${money.format(product.price)}</span></div>
      <div class="line-end">${price(product.price * quantity)}
        <button type="button" class="plain" data-remove="${product.id}" aria-label="Remove ${product.name}">Remove</button></div>
    </li>`;

  return lines.length === 0 ? emptyView : `
    <h1>Cart</h1>
    <div class="two">
      <ul class="lines">${lines.map(row).join('')}</ul>
      <section class="sum"><p>Total ${price(total)}</p><p class="muted">Shipping is on us.</p>
        <a class="button main" href="#/checkout">Check out</a></section>
    </div>`;
}

export function checkoutView(lines, total, firstDay) {
  return lines.length === 0 ? emptyView : `
    <h1>Check out</h1>
    <form class="two" id="order">
      <div class="fields">
        <label>Name <input name="name" autocomplete="name" required maxlength="80"></label>
        <label>Address <input name="address" autocomplete="street-address" required maxlength="120"></label>
        <label>Deliver on <input name="day" type="date" required min="${firstDay}" value="${firstDay}"></label>
        <label class="check"><input name="wrap" type="checkbox"> Gift wrap (${money.format(GIFT_WRAP)})</label>
      </div>
      <section class="sum"><p>Total <span id="sum" class="price">${money.format(total)}</span></p>
        <p class="muted">Your name and address stay in this page.</p>
        <button class="main" type="submit">Place order</button></section>
    </form>`;
}

export function thanksView(orderId, total) {
  return `
    <section class="empty"><p class="eyebrow">Order ${orderId}</p><h1>Thank you.</h1>
    <p>We would pack it now, for ${money.format(total)}, if this were a real shop.</p>
    <a class="button" href="#/">Look around some more</a></section>`;
}

export const missingView = `
  <section class="empty"><h1>Nothing on this shelf</h1><p>The page you asked for does not exist.</p>
  <a class="button" href="#/">See the collection</a></section>`;

export const formatMoney = (value) => money.format(value);
