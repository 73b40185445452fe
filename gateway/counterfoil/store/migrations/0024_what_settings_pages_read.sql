-- What the pages of settings list: the keys of one merchant, and deliveries that were given up. The
-- second costs nothing but at a giving-up.

CREATE INDEX api_keys_of_merchant ON api_keys (merchant_id, key_id);
CREATE INDEX webhook_deliveries_given_up ON webhook_deliveries (merchant_id, endpoint_id, number)
    WHERE state = 'gave_up';
