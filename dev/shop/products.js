// The shop's goods: what they are and how they look.  Each is drawn from one of a
// few shapes and a glaze, so the shop needs no picture files.  Pure.

export const products = [
  { id: 'kk-101', name: 'Morning cup', price: 24, shape: 'cup', glaze: 'celadon', category: 'drink', tags: ['stoneware', '280 ml'], inStock: true,
    text: 'A cup for the first tea of the day. Thin at the lip, heavy at the foot, and it fits two cold hands.' },
  { id: 'kk-102', name: 'Harbour teapot', price: 89.5, shape: 'pot', glaze: 'indigo', category: 'drink', tags: ['stoneware', '900 ml'], inStock: true,
    text: 'Pours without a drop on the table. The lid stays where it is until the very last cup.' },
  { id: 'kk-103', name: 'Rice bowl', price: 19.9, shape: 'bowl', glaze: 'rice', category: 'eat', tags: ['porcelain', '350 ml'], inStock: true,
    text: 'Plain, white and light. The glaze breaks to a warm line along the rim.' },
  { id: 'kk-104', name: 'Noodle bowl', price: 34, shape: 'bowl', glaze: 'iron', category: 'eat', tags: ['stoneware', '900 ml'], inStock: true,
    text: 'Deep enough for soup, wide enough for everything that swims in it.' },
  { id: 'kk-105', name: 'Tall vase', price: 120, shape: 'vase', glaze: 'celadon', category: 'home', tags: ['porcelain', 'one of a kind'], inStock: true,
    text: 'For one branch. It was fired for three days with pine, and shows it on one side only.' },
  { id: 'kk-106', name: 'Supper plate', price: 28, shape: 'plate', glaze: 'indigo', category: 'eat', tags: ['stoneware', '26 cm'], inStock: true,
    text: 'Flat, quiet and stackable. Six of them take no more room than a book.' },
  { id: 'kk-107', name: 'Milk jug', price: 31.5, shape: 'jug', glaze: 'rice', category: 'drink', tags: ['porcelain', '300 ml'], inStock: true,
    text: 'Holds milk for four, or a few daisies when nobody comes.' },
  { id: 'kk-108', name: 'Moon jar', price: 240, shape: 'jar', glaze: 'iron', category: 'home', tags: ['stoneware', 'one of a kind'], inStock: false,
    text: 'Thrown in two halves and joined at the belly, so that no two are equally round.' },
];

export const categories = { drink: 'To drink', eat: 'To eat', home: 'At home' };

export const byId = (id) => products.find((product) => product.id === id);

const glazes = {
  celadon: ['#cfe0cd', '#7fa892', '#557c6a', '#e9efe4'],
  indigo: ['#7f95b8', '#3d5580', '#26385a', '#e6eaf1'],
  rice: ['#fdf9f0', '#e8dcc6', '#bfae90', '#f1ebdf'],
  iron: ['#b97a56', '#7c4630', '#4d2a1e', '#f2e6dc'],
};

const shapes = {
  cup: '<path d="M58 78h84v40a42 38 0 0 1-84 0z" fill="url(#G)"/><path d="M142 88c34-6 34 42-6 42" fill="none" stroke="MID" stroke-width="9"/><ellipse cx="100" cy="78" rx="42" ry="9" fill="DARK"/>',
  pot: '<path d="M52 108c0-64 96-64 96 0 0 62-96 62-96 0z" fill="url(#G)"/><path d="M146 96c16 0 14-24 30-26l4 8c-12 4-8 38-32 46z" fill="MID"/><path d="M54 88c-34-4-34 46 2 48" fill="none" stroke="MID" stroke-width="9"/><path d="M74 66c8-16 44-16 52 0z" fill="DARK"/><circle cx="100" cy="50" r="7" fill="DARK"/>',
  bowl: '<path d="M38 84h124c0 46-26 70-62 70s-62-24-62-70z" fill="url(#G)"/><path d="M80 150h40l-4 12H84z" fill="DARK"/><ellipse cx="100" cy="84" rx="62" ry="12" fill="DARK"/><ellipse cx="100" cy="86" rx="54" ry="8" fill="MID"/>',
  vase: '<path d="M86 30h28c-6 34 34 48 26 92-4 28-20 40-40 40s-36-12-40-40c-8-44 32-58 26-92z" fill="url(#G)"/><ellipse cx="100" cy="30" rx="14" ry="4.500" fill="DARK"/>',
  plate: '<ellipse cx="100" cy="106" rx="82" ry="46" fill="DARK"/><ellipse cx="100" cy="101" rx="82" ry="45" fill="url(#G)"/><ellipse cx="100" cy="101" rx="56" ry="29" fill="MID" opacity=".45"/><ellipse cx="100" cy="103" rx="52" ry="26" fill="LIGHT" opacity=".5"/>',
  jug: '<path d="M66 56l68-6c2 10-6 20-2 36 6 22 10 32 4 50-5 14-16 22-36 22s-31-8-36-22c-8-26 8-44 2-80z" fill="url(#G)"/><path d="M66 66c-36 4-34 62 0 62" fill="none" stroke="MID" stroke-width="9"/><path d="M66 56c20-8 48-10 68-6-18 8-50 12-68 6z" fill="DARK"/>',
  jar: '<path d="M80 44h40c44 18 56 96 2 118H78C24 140 36 62 80 44z" fill="url(#G)"/><ellipse cx="100" cy="44" rx="20" ry="5.500" fill="DARK"/>',
};

/** A shape in a glaze, to stand in an SVG; id must be its own in the page. */
function drawing(shape, glaze, id) {
  const [light, middle, dark] = glazes[glaze];
  const drawn = shapes[shape].replaceAll('#G', `#${id}`).replaceAll('MID', middle).replaceAll('DARK', dark)
    .replaceAll('LIGHT', light);

  return `<defs><linearGradient id="${id}" x1="0" y1="0" x2="1" y2="1"><stop offset="0" stop-color="${light}"/>
    <stop offset=".55" stop-color="${middle}"/><stop offset="1" stop-color="${dark}"/></linearGradient></defs>
    <ellipse cx="100" cy="164" rx="64" ry="9" fill="${dark}" opacity=".22"/>${drawn}`;
}

/** The picture of a product, as SVG text. */
export function picture({ id, name, shape, glaze }) {
  const ground = glazes[glaze][3];

  return `<svg class="picture" viewBox="0 0 200 200" preserveAspectRatio="xMidYMid slice" role="img" aria-label="${name}">
    <rect width="200" height="200" fill="${ground}"/>${drawing(shape, glaze, `glaze-${id}`)}</svg>`;
}

/** Three pots on a shelf, for the top of the shop. */
export function stillLife() {
  return `<svg class="still-life" viewBox="0 0 460 200" aria-hidden="true">
    <g transform="translate(0 12)">${drawing('vase', 'celadon', 'still-1')}</g>
    <g transform="translate(118 24) scale(.95)">${drawing('pot', 'rice', 'still-2')}</g>
    <g transform="translate(290 60) scale(.72)">${drawing('cup', 'iron', 'still-3')}</g></svg>`;
}
