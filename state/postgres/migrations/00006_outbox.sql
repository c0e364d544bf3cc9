-- +goose Up
-- What hooks are to be told. Due is when it is tried next.
CREATE TABLE outbox (
    id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hook    text        NOT NULL,
    payload bytea       NOT NULL,
    created timestamptz NOT NULL,
    due     timestamptz NOT NULL,
    tries   integer     NOT NULL,
    error   bytea       NOT NULL,
    dead    boolean     NOT NULL
);

CREATE INDEX outbox_waiting ON outbox (hook, id) WHERE NOT dead;
CREATE INDEX outbox_dead ON outbox (id) WHERE dead;

-- Who delivers to a hook, until when, and before when nobody does.
CREATE TABLE hooks (
    hook   text        PRIMARY KEY,
    holder text        NOT NULL,
    until  timestamptz NOT NULL,
    pause  timestamptz NOT NULL
);

-- +goose Down
DROP TABLE hooks, outbox;
