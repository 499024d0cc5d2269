-- What the demo shop tells about its visitors: event types and fields, entered as
-- a DBA would, in psql.  Running it again adds what is missing and changes
-- nothing else.
--
--   psql -1 -v ON_ERROR_STOP=1 -d "$DATABASE_URL" -f dev/shop/schema.sql

INSERT INTO event_types (name, description) VALUES
    ('page_view',        'A page of the shop was shown'),
    ('button_click',     'A button that leads nowhere else was pressed'),
    ('product_view',     'A product was looked at'),
    ('add_to_cart',      'A product was put into the cart'),
    ('checkout_started', 'The visitor began to check out'),
    ('purchase',         'An order was placed')
ON CONFLICT (name) DO NOTHING;

INSERT INTO event_fields (event_type_id, name, data_type, required, description)
SELECT t.id, f.name, f.data_type, f.required, f.description
  FROM event_types t
  JOIN (VALUES
    ('page_view', 'page_url', 'string', true, 'Path and view'),
    ('page_view', 'page_title', 'string', false, 'Title of the page'),

    ('button_click', 'button_name', 'string', true, 'Which button'),
    ('button_click', 'page_url', 'string', true, 'Path and view'),

    ('product_view', 'product_id', 'string', true, 'Article number'),
    ('product_view', 'product_name', 'string', false, 'As shown'),
    ('product_view', 'price', 'float', true, 'For one, in euros'),
    ('product_view', 'in_stock', 'bool', false, 'Whether it can be bought'),
    ('product_view', 'tags', 'string[]', false, 'Category and properties'),

    ('add_to_cart', 'product_id', 'string', true, 'Article number'),
    ('add_to_cart', 'product_name', 'string', false, 'As shown'),
    ('add_to_cart', 'price', 'float', true, 'For one, in euros'),
    ('add_to_cart', 'quantity', 'int', true, 'How many were added'),

    ('checkout_started', 'item_count', 'int', true, 'Pieces in the cart'),
    ('checkout_started', 'total', 'float', true, 'Of the cart, in euros'),
    ('checkout_started', 'product_ids', 'string[]', false, 'Of the cart'),

    ('purchase', 'order_id', 'string', true, 'Number of the order'),
    ('purchase', 'total', 'float', true, 'Of the order, with gift wrap'),
    ('purchase', 'currency', 'string', true, 'ISO 4217'),
    ('purchase', 'item_count', 'int', true, 'Pieces ordered'),
    ('purchase', 'product_ids', 'string[]', false, 'Of the order'),
    ('purchase', 'items', 'json', false, 'Lines of the order'),
    ('purchase', 'gift_wrap', 'bool', false, 'Whether to wrap it'),
    ('purchase', 'deliver_at', 'timestamp', false, 'Wished for')
  ) AS f (event_type, name, data_type, required, description)
    ON f.event_type = t.name
ON CONFLICT (event_type_id, name) DO NOTHING;
