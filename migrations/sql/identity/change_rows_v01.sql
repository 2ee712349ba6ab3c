-- Executes a statement that changes rows, so that the triggers of the platform find what they name without a schema: under
-- the path that other sessions of this role have. Deferred triggers fire before the empty path comes back. Returns how
-- many rows it changed.
--
-- The statement has to say which rows by operators of exactly their types, and to compute nothing: under that path an
-- operator or a function that somebody planted for other types would be found. No secret goes in here: an error would
-- quote the statement.
create or replace function montoit.change_rows(statement text)
returns bigint
language plpgsql
set search_path = ''
as $$
declare
    changed bigint;
begin
    set local search_path to default;
    execute statement;
    get diagnostics changed = row_count;
    set constraints all immediate;
    return changed;
end;
$$;
