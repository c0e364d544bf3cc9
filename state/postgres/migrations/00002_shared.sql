-- +goose Up
-- Write locks; timeout in nanoseconds, expires by this server's clock.
CREATE TABLE locks (
    token    bytea       PRIMARY KEY,
    root     bytea       NOT NULL,
    infinite boolean     NOT NULL,
    shared   boolean     NOT NULL,
    by_user  bytea       NOT NULL,
    owner    bytea       NOT NULL,
    timeout  bigint      NOT NULL,
    expires  timestamptz NOT NULL
);

CREATE INDEX locks_by_root ON locks (substr(root, 1, 1024));
CREATE INDEX locks_by_expiry ON locks (expires);

-- Failed logins by network: when the last one was, until when it is banned (NULL:
-- it is not), and when nothing of it counts any more.
CREATE TABLE failures (
    network text        PRIMARY KEY,
    count   bigint      NOT NULL,
    last    timestamptz NOT NULL,
    banned  timestamptz,
    forget  timestamptz NOT NULL
);

CREATE INDEX failures_by_end ON failures (forget);
CREATE INDEX failures_by_ban ON failures (banned) WHERE banned IS NOT NULL;

-- What was ever added under a user's quota, and what its holders reserve. Who
-- changes anything of a user's locks the line of quotas first.
CREATE TABLE quotas (
    of_user bytea  PRIMARY KEY,
    added   bigint NOT NULL
);

CREATE TABLE reservations (
    of_user  bytea       NOT NULL,
    holder   text        NOT NULL,
    reserved bigint      NOT NULL,
    until    timestamptz NOT NULL,
    PRIMARY KEY (of_user, holder)
);

-- +goose Down
DROP TABLE reservations, quotas, failures, locks;
