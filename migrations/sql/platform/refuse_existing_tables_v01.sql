-- Runs before the first write: stops at a table that cannot be adopted.
do $$
declare
    names constant text[] := array[
        'feature_flags', 'feature_flag_history', 'feature_flag_overrides', 'api_keys',
        'payment_logs', 'sms_logs', 'whatsapp_logs'
    ];
    adopted constant text[] := '{}';
    is_later constant boolean := false;
    told text;
begin
    -- include platform/refuse_tables
end;
$$;
