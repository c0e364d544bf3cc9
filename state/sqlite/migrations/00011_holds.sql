-- +goose Up
-- Jobs that an operator keeps from running.
CREATE TABLE holds (
    job INTEGER NOT NULL PRIMARY KEY REFERENCES jobs (id),
    who TEXT    NOT NULL,
    at  INTEGER
) STRICT;

-- +goose Down
DROP TABLE holds;
