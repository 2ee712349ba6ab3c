-- The look of each revision at the tables that it is about to take for the adopted ones, or to create: one that came since
-- would be taken in silence.
create or replace function montoit.look_again(variadic names text[])
returns void
language plpgsql
set search_path = ''
as $$
declare
    adopted constant text[] := array(select table_name from montoit.adopted_tables);
    is_later constant boolean := true;
    told text;
begin
    -- include platform/refuse_tables
end;
$$;
