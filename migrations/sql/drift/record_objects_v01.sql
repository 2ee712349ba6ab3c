-- Records what a revision of the schema has made: what differs from the note that was taken before it. What had drifted and was left
-- alone keeps its record. The present state is the note for the next revision. Stages: `note`, before the first revision of a
-- deployment; `upgrade`; `downgrade`, which records no further object, since what it brings back may be the platform's.
-- Who owns a table or function, and who may use it, is recorded with its first policy or text of ours: an adoption decides that, too,
-- if it happens to change nothing.
create or replace function montoit.record_objects(stage text)
returns void
language plpgsql
set search_path = ''
set plan_cache_mode = force_generic_plan -- planned once for all revisions of a deployment: planning takes as long as the rest
set jit = off
as $$
#variable_conflict use_column
begin
    with present as materialized (
        select kind, relation, name, definition, fingerprint, concat_ws(' ', fingerprint, version) as state from montoit.objects
    ),
    missing as (
        update montoit.released_objects set before = null
        where record_objects.stage = 'note' and before is not null and (kind, relation, name) not in (select kind, relation, name from present)
    ),
    gone as (
        delete from montoit.released_objects
        where stage <> 'note' and before is not null and (kind, relation, name) not in (select kind, relation, name from present)
    ),
    compared as (
        select
            present.*, released.definition as old_definition, released.fingerprint as old_fingerprint,
            released.before is distinct from state as is_new,
            released.before is distinct from state and (stage = 'upgrade' or stage = 'downgrade' and released.fingerprint is not null)
                as is_made
        from present
        left join montoit.released_objects as released using (kind, relation, name)
    ),
    opened as (
        select relation from compared where stage = 'upgrade' and kind in ('policy', 'function') and is_made
        except
        select relation from montoit.released_objects where kind in ('policy', 'function') and fingerprint is not null
    ),
    recorded as (
        select *, is_made or kind in ('owner', 'grant', 'row level security') and relation in (select relation from opened) as is_ours
        from compared
    )
    insert into montoit.released_objects as released (kind, relation, name, definition, fingerprint, before)
    select
        kind, relation, name, case when is_ours then definition else old_definition end,
        case when is_ours then fingerprint else old_fingerprint end, state
    from recorded
    where is_new or is_ours
    on conflict (kind, relation, name) do update
    set definition = excluded.definition, fingerprint = excluded.fingerprint, before = excluded.before
    where (released.fingerprint, released.before) is distinct from (excluded.fingerprint, excluded.before);
end;
$$;
