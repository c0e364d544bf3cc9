-- +goose Up
-- Logins of browsers, and links to files that users share.
CREATE TABLE sessions (
    id      TEXT    PRIMARY KEY,
    user    TEXT    NOT NULL,
    stamp   TEXT    NOT NULL,
    by_what TEXT    NOT NULL,
    address TEXT    NOT NULL,
    created INTEGER NOT NULL,
    used    INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_user ON sessions (user, used);
CREATE INDEX sessions_by_end ON sessions (expires);

CREATE TABLE shares (
    id      TEXT    PRIMARY KEY,
    user    TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    key     TEXT    NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX shares_by_user ON shares (user, created);
CREATE INDEX shares_by_key ON shares (key);
CREATE INDEX shares_by_end ON shares (expires);

-- +goose Down
DROP TABLE shares;
DROP TABLE sessions;
