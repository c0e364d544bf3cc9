-- +goose Up
-- Dead properties of files and folders, by the key of their name; bytes counts for by_user.
CREATE TABLE properties (
    key     TEXT    NOT NULL,
    space   TEXT    NOT NULL,
    local   TEXT    NOT NULL,
    value   TEXT    NOT NULL,
    by_user TEXT    NOT NULL,
    bytes   INTEGER NOT NULL,
    PRIMARY KEY (key, space, local)
) STRICT, WITHOUT ROWID;

CREATE INDEX properties_by_user ON properties (by_user, bytes);

-- +goose Down
DROP TABLE properties;
