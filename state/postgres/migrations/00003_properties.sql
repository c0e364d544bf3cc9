-- +goose Up
-- Dead properties of files and folders, by the key of their name; bytes counts for by_user. Who
-- changes any holds the advisory lock 'gateway properties' and its schema.
CREATE TABLE properties (
    key     bytea   NOT NULL,
    space   bytea   NOT NULL,
    local   bytea   NOT NULL,
    value   bytea   NOT NULL,
    by_user bytea   NOT NULL,
    bytes   bigint  NOT NULL
);

CREATE UNIQUE INDEX properties_by_name ON properties (sha256(key), sha256(space), sha256(local));
CREATE INDEX properties_by_key ON properties (substr(key, 1, 1024));
CREATE INDEX properties_by_user ON properties (by_user, bytes);

-- +goose Down
DROP TABLE properties;
