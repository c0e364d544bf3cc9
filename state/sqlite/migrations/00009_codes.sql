-- +goose Up
-- One-time codes: how often a user tried since the last right one, when that was, and from when on the next
-- try is let.
CREATE TABLE code_tries (
    of_user TEXT    NOT NULL PRIMARY KEY,
    tries   INTEGER NOT NULL,
    last    INTEGER NOT NULL,
    until   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The last step of each code that was used.
CREATE TABLE used_codes (
    of_user TEXT    NOT NULL,
    code    TEXT    NOT NULL,
    step    INTEGER NOT NULL,
    used    INTEGER NOT NULL,
    PRIMARY KEY (of_user, code)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE used_codes;
DROP TABLE code_tries;
