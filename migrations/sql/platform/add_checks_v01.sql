-- Adds the constraints that find_checks has found to be met.
do $$
declare
    wanted record;
begin
    for wanted in
        select *
        from jsonb_to_recordset(current_setting('montoit.checks')::jsonb)
            as checks (table_name text, name text, validity text, condition text)
    loop
        perform montoit.adopt(
            'tables', wanted.table_name, format('constraint %I', wanted.name),
            format('alter table public.%I add constraint %I check (%s)%s',
                   wanted.table_name, wanted.name, wanted.condition, wanted.validity),
            format('alter table public.%I drop constraint if exists %I', wanted.table_name, wanted.name),
            format('contrainte %s %s', wanted.name, case
                when exists (
                    select from montoit.adoption_steps as steps
                    where steps.table_name = wanted.table_name and object = 'replaced constraint'
                ) then 'mise à la place de celle de la plateforme : une suppression entre aussi dans l''historique'
                else 'ajoutée' end)
        );
    end loop;
    set local row_security = on;
end;
$$;
