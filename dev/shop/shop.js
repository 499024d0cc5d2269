// The shop: one page whose views follow the part of the URL behind "#", so that a
// visit needs no server but nginx.  Each view sends page_view, and what a visitor
// does in it sends the other events of schema.sql.

import { cartCount, cartLines, cartTotal, emptyCart, euros, quantityOf, setQuantity } from './cart.js';
import { byId } from './products.js';
import { track } from './tracking.js';
import { GIFT_WRAP, cartView, checkoutView, formatMoney, listView, missingView, productView, thanksView } from './views.js';

const SHOP = 'Kiln & Kettle';
const DAY = 86_400_000;

const main = document.getElementById('main');

let lastOrder;

const pageUrl = () => location.pathname + location.hash;

const click = (name) => track('button_click', { button_name: name, page_url: pageUrl() });

const cartIds = () => cartLines().map(({ product }) => product.id);


function showList() {
  show('Collection', listView());
  main.onclick = ({ target }) => {
    const chip = target.closest('[data-category]');
    if (chip) {
      click(`category ${chip.dataset.category || 'everything'}`);
      main.innerHTML = listView(chip.dataset.category || undefined);
      main.querySelector('[aria-pressed=true]').focus();
    }
  };
}


function showProduct(id) {
  const product = byId(id);
  if (!product) {
    return showMissing();
  }

  show(product.name, productView(product));
  track('product_view', {
    product_id: id, product_name: product.name, price: product.price, in_stock: product.inStock,
    tags: [product.category, ...product.tags],
  });

  main.onclick = ({ target }) => {
    const step = Number(target.dataset.step ?? 0);
    if (step) {
      const output = document.getElementById('quantity');
      output.value = Math.min(9, Math.max(1, Number(output.value) + step));
    }
  };
  main.onsubmit = (event) => {
    event.preventDefault();
    addToCart(product, Number(document.getElementById('quantity').value));
  };
}

function addToCart(product, quantity) {
  setQuantity(product.id, quantityOf(product.id) + quantity);
  showCount();
  document.getElementById('added').textContent = `${quantity} × ${product.name} is in your cart.`;
  track('add_to_cart', { product_id: product.id, product_name: product.name, price: product.price, quantity });
}


function showCart() {
  show('Cart', cartView(cartLines(), cartTotal()));
  main.onclick = ({ target }) => {
    const id = target.dataset.remove;
    if (id) {
      setQuantity(id, 0);
      click('remove from cart');
      showCount();
      main.innerHTML = cartView(cartLines(), cartTotal());
    }
  };
}


function showCheckout() {
  const firstDay = new Date(Date.now() + 3 * DAY).toISOString().slice(0, 10);
  show('Check out', checkoutView(cartLines(), cartTotal(), firstDay));
  if (cartCount() === 0) {
    return;
  }

  track('checkout_started', { item_count: cartCount(), total: cartTotal(), product_ids: cartIds() });
  main.onchange = ({ target }) => {
    if (target.name === 'wrap') {
      click(target.checked ? 'gift wrap on' : 'gift wrap off');
      document.getElementById('sum').textContent = formatMoney(orderTotal(target.checked));
    }
  };
  main.onsubmit = (event) => {
    event.preventDefault();
    placeOrder(new FormData(event.target));
  };
}

const orderTotal = (wrap) => euros(cartTotal() + (wrap ? GIFT_WRAP : 0));

function placeOrder(form) {
  const wrap = form.get('wrap') !== null;
  lastOrder = { id: `KK-${Date.now().toString(36).toUpperCase()}`, total: orderTotal(wrap) };

  track('purchase', {
    order_id: lastOrder.id,
    total: lastOrder.total,
    currency: 'EUR',
    item_count: cartCount(),
    product_ids: cartIds(),
    items: cartLines().map(({ product, quantity }) => ({ product_id: product.id, quantity, price: product.price })),
    gift_wrap: wrap,
    deliver_at: new Date(form.get('day')).toISOString(),
  });
  emptyCart();
  showCount();
  location.hash = '#/thanks';
}


function showThanks() {
  if (!lastOrder) {
    return showMissing();
  }
  show('Thank you', thanksView(lastOrder.id, lastOrder.total));
}

function showMissing() {
  show('Not found', missingView);
}


function show(title, html) {
  document.title = `${title} · ${SHOP}`;
  main.innerHTML = html;
  main.onclick = main.onsubmit = main.onchange = null;
  scrollTo(0, 0);
  track('page_view', { page_url: pageUrl(), page_title: document.title });
}

function showCount() {
  document.getElementById('cart-count').textContent = cartCount();
}

const views = { '': showList, product: showProduct, cart: showCart, checkout: showCheckout, thanks: showThanks };

function route() {
  // "#main" is the skip link's, no view.
  if (location.hash === '#main') {
    return;
  }
  const [, view = '', argument] = location.hash.split('/');
  (Object.hasOwn(views, view) ? views[view] : showMissing)(argument);
}

addEventListener('hashchange', () => {
  route();
  main.focus({ preventScroll: true });
});
showCount();
route();
