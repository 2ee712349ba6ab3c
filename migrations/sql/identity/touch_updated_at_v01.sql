-- Trigger: sets updated_at if the row changes. Compares bytes (*<>): a column of an adopted table may have a type without
-- an operator for equality.
create or replace function montoit.touch_updated_at()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if new *<> old then
        new.updated_at := now();
    end if;
    return new;
end;
$$;
