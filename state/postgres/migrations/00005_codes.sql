-- +goose Up
-- One-time codes: how often a user tried since the last right one, when that was, and from when on the next
-- try is let.
CREATE TABLE code_tries (
    of_user bytea       PRIMARY KEY,
    tries   bigint      NOT NULL,
    last    timestamptz NOT NULL,
    until   timestamptz NOT NULL
);

-- The last step of each code that was used; once is the call that used it.
CREATE TABLE used_codes (
    of_user bytea       NOT NULL,
    code    bytea       NOT NULL,
    step    bigint      NOT NULL,
    used    timestamptz NOT NULL,
    once    bytea       NOT NULL,
    PRIMARY KEY (of_user, code)
);

-- +goose Down
DROP TABLE used_codes, code_tries;
