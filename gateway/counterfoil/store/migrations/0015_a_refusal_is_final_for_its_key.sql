-- A command that was refused under a key is refused under it for ever: a copy of the request that was
-- held up on the way must not be carried out after its sender was told "no".

ALTER TABLE idempotency_keys DROP CONSTRAINT idempotency_keys_operation_check;
ALTER TABLE idempotency_keys ADD CONSTRAINT idempotency_keys_operation_check
    CHECK (operation IN ('payment', 'capture', 'void', 'refund', 'undo', 'fence', 'refused'));
