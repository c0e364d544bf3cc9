-- +goose Up
-- Few lines share a target, but every step of a file changed the index of both.
DROP INDEX files_by_target;
CREATE INDEX files_by_target ON files (target);

-- +goose Down
DROP INDEX files_by_target;
CREATE INDEX files_by_target ON files (target, updated);
