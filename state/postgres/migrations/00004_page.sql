-- +goose Up
-- Logins of browsers, and links to files that users share.
CREATE TABLE sessions (
    id      bytea  PRIMARY KEY,
    of_user bytea  NOT NULL,
    stamp   bytea  NOT NULL,
    by_what bytea  NOT NULL,
    address bytea  NOT NULL,
    created bigint NOT NULL,
    used    bigint NOT NULL,
    expires bigint NOT NULL
);

CREATE INDEX sessions_by_user ON sessions (of_user, used);
CREATE INDEX sessions_by_end ON sessions (expires);

CREATE TABLE shares (
    id      bytea  PRIMARY KEY,
    of_user bytea  NOT NULL,
    name    bytea  NOT NULL,
    key     bytea  NOT NULL,
    created bigint NOT NULL,
    expires bigint NOT NULL
);

CREATE INDEX shares_by_user ON shares (of_user, created);
CREATE INDEX shares_by_key ON shares (substr(key, 1, 1024));
CREATE INDEX shares_by_end ON shares (expires);

-- +goose Down
DROP TABLE shares;
DROP TABLE sessions;
