-- Trigger: refuses to change or delete a line of the trail, whoever asks. Who owns the table can end this by DDL.
create or replace function montoit.keep_trail()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    raise exception using
        errcode = 'insufficient_privilege',
        message = 'the trail is only added to';
end;
$$;
