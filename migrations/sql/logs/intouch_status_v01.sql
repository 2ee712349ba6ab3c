-- The status in payment_logs for InTouch's word, in any case. Null for a word that is not known: that is neither a success
-- nor a failure. NOTFOUND is a failure: InTouch knows no such transaction.
create or replace function montoit.intouch_status(word text)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
    return case upper(btrim(word) collate "C")
        when 'INITIATED' then 'pending'
        when 'PENDING' then 'pending'
        when 'PROCESSING' then 'processing'
        when 'SUCCESS' then 'success'
        when 'SUCCESSFUL' then 'success'
        when 'SUCCEED' then 'success'
        when 'FAILED' then 'failed'
        when 'NOTFOUND' then 'failed'
        when 'CANCELLED' then 'cancelled'
    end;
end;
$$;
