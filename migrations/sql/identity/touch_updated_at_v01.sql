-- Trigger: stamps a row that changes, byte by byte: a type of an adopted table need not know what is equal.
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
