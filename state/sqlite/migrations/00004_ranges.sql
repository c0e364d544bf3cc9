-- +goose Up
-- Ranges of a staged file that are durable beyond "offset": from and behind the
-- last byte, "10-20 30-40".
ALTER TABLE files ADD COLUMN ranges TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE files DROP COLUMN ranges;
