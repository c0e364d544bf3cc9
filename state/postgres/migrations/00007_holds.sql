-- +goose Up
-- Jobs that an operator keeps from running.
CREATE TABLE holds (
    job bigint PRIMARY KEY REFERENCES jobs (id),
    who bytea  NOT NULL,
    at  bigint
);

-- +goose Down
DROP TABLE holds;
