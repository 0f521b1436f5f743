//! The words that the forms tell apart. Facts about the dialects of MySQL, PostgreSQL, SQL Server, Oracle, SQLite, DB2
//! and their like, from their manuals.

/// A list of words, asked in any case.
pub(super) struct Words {
    list: &'static str,
    /// For each first byte the lengths of the words that begin with it, a bit for each: most of what is asked for is
    /// turned away by it.
    lengths: [u64; 128],
}

impl Words {
    const fn new(list: &'static str) -> Words {
        let bytes = list.as_bytes();
        let mut lengths = [0; 128];
        let mut at = 0;
        while at < bytes.len() {
            let start = at;
            while at < bytes.len() && !bytes[at].is_ascii_whitespace() {
                at += 1;
            }
            if at > start {
                lengths[bytes[start] as usize] |= 1 << (at - start);
            }
            at += 1;
        }
        Words { list, lengths }
    }

    pub(super) fn has(&self, word: &[u8]) -> bool {
        let Some(first) = word.first().map(u8::to_ascii_lowercase).filter(u8::is_ascii) else { return false };
        word.len() < 64
            && self.lengths[usize::from(first)] & 1 << word.len() != 0
            && self.list.split_ascii_whitespace().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
    }
}

/// Comparisons that are words.
pub(super) static COMPARING_WORDS: Words = Words::new(
    "
    like ilike rlike regexp glob match in between similar contains startswith
",
);

/// Words that may stand directly behind a quote that ends a string.
pub(super) static GOING_ON: Words = Words::new(
    "
    or and xor having where union intersect except minus order group own3d partition limit offset fetch procedure into
    like ilike rlike regexp glob match in between similar contains startswith is not div mod sounds as collate allow
    waitfor exec execute declare if while begin select drop insert delete update create alter truncate when
    sleep pg_sleep pg_sleep_for benchmark randomblob dbms_lock dbms_session
",
);

/// Operators that are words and compare nothing by themselves.
pub(super) static OPERATOR_WORDS: Words = Words::new(
    "
    ! ~ is not div mod sounds binary
",
);

/// What a condition may be followed by in a statement.
pub(super) static ENDS: Words = Words::new(
    "
    union order limit group ; , having into for procedure rlike regexp waitfor else end as then
",
);

/// What may follow a column of SELECT without a comma.
pub(super) static AFTER_COLUMN: Words = Words::new(
    "
    from as where union limit order group having into and or like is in between for procedure intersect
    except minus div mod else end collate waitfor rlike regexp window offset
",
);

/// Words that stand for a constant, or for a value that no column decides.
pub(super) static CONSTANT_WORDS: Words = Words::new(
    "
    null true false unknown current_user session_user system_user current_date current_time
    current_timestamp localtime localtimestamp sysdate systimestamp utc_date utc_time utc_timestamp rownum
    rowid current_database current_schema pi nan infinity
",
);

/// Words that cannot be an operand, so that what follows OR is no condition.
pub(super) static NO_NAMES: Words = Words::new(
    "
    and or xor union from where having order group limit by like in is between into values set then else end
    when as on join
",
);

/// Tables that attacks ask first: those of every database, and those in which accounts are.
pub(super) static TABLES: Words = Words::new(
    "
    information_schema.tables information_schema.columns information_schema.schemata users user admin admins
    members accounts dual mysql.user pg_user pg_shadow pg_database pg_tables sysobjects syscolumns sysusers
    master..sysobjects master..sysdatabases sys.tables all_tables all_users user_tables all_tab_columns
    v$version sqlite_master sqlite_schema msysobjects sysibm.sysdummy1 syscat.tables rdb$database
    rdb$relations
",
);

/// Variables of the server, behind `@@`.
static SERVER_VARIABLES: Words = Words::new(
    "
    version version_comment version_compile_os version_compile_machine hostname datadir basedir tmpdir plugin_dir
    servername servicename language spid textsize identity rowcount error trancount microsoftversion max_connections
    max_allowed_packet secure_file_priv sql_mode log_error general_log_file innodb_data_file_path innodb_version
    have_ssl port socket pid_file slow_query_log_file character_set_client time_zone license variable new dbts langid
",
);

/// `@@version`, `@@global.version`; others write `@@name` for symbols of their own.
pub(super) fn is_server_variable(text: &[u8]) -> bool {
    let Some(name) = text.strip_prefix(b"@@") else { return false };
    let name = name.strip_prefix(b"`").map_or(name, |name| name.strip_suffix(b"`").unwrap_or(name));
    SERVER_VARIABLES.has(name.rsplit(|byte| *byte == b'.').next().unwrap_or(name))
}

/// Functions that wait.
pub(super) static WAITING: Words = Words::new(
    "
    sleep pg_sleep pg_sleep_for benchmark randomblob dbms_lock.sleep dbms_session.sleep waitfor
",
);

pub(super) enum Function {
    /// Nothing but a database has it.
    Database,
    /// Databases have it, under a name that is also a word or a function elsewhere.
    Common,
}

/// What kind of function has this name, if it is one that attacks call.
pub(super) fn function(name: &[u8]) -> Option<Function> {
    let begins = |start: &&str| {
        name.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
    };
    if DATABASE.has(name) || DATABASE_PREFIXES.iter().any(|start| begins(&start)) {
        return Some(Function::Database);
    }
    COMMON.has(name).then_some(Function::Common)
}

/// A procedure of a package that comes with Oracle: `utl_http.request`.
pub(super) fn is_package(name: &[u8]) -> bool {
    let begins =
        |start: &str| name.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()));
    ["utl_http.", "utl_inaddr.", "dbms_pipe.", "dbms_lock.", "dbms_ldap.", "ctxsys."]
        .iter()
        .any(|start| begins(start))
}

static DATABASE: Words = Words::new(
    "
    sleep benchmark extractvalue updatexml load_file group_concat concat_ws load_extension randomblob
    zeroblob sqlite_version make_set elt find_in_set export_set name_const get_lock release_lock
    is_free_lock master_pos_wait row_count found_rows last_insert_id connection_id suser_name suser_sname
    user_name db_name host_name object_id object_name is_srvrolemember is_member serverproperty
    fn_virtualfilestats openrowset openquery xmltype sys_context json_keys json_length json_depth json_type
    json_valid json_array_length json_each gtid_subset gtid_subtract st_latfromgeohash st_longfromgeohash
    st_pointfromgeohash geometrycollection multipoint linestring multilinestring multipolygon cast_to_int
    current_database current_schema current_setting query_to_xml database_to_xml generate_series string_agg
    array_agg xmlagg stragg wm_concat listagg bitand nvl rawtohex utl_raw.cast_to_raw httpuritype
    row_to_json hextoraw unhex char_length character_length octet_length bit_length bit_count
    substring_index sys_eval sys_exec lo_import lo_export ifnull nullif iif db_id col_name has_dbaccess
    loginproperty pwdcompare fn_xe_file_target_read_file xp_dirtree database aes_encrypt aes_decrypt
    uuid_short datalength patindex charindex quotename to_char to_number
",
);

const DATABASE_PREFIXES: &[&str] = &[
    "pg_",
    "dbms_",
    "utl_",
    "ctxsys.",
    "sys.",
    "ordsys.",
    "xp_",
    "sp_",
    "master.",
    "msdb.",
    "information_schema.",
    "mysql.",
    "sysibm.",
    "rdb$",
    "user_lock.",
];

static COMMON: Words = Words::new(
    "
    ascii substr substring mid left right length len count lower upper hex char chr nchar ord unicode concat
    cast convert if coalesce rand floor ceil round exp pow power row polygon point greatest least instr
    locate position strcmp field bin oct conv md5 sha sha1 sha2 uuid now date decode replace repeat reverse
    insert lpad rpad trim ltrim rtrim space format interval max min sum avg password encode compress crc32
    sqrt sign abs mod pi ln log random glob typeof initcap translate to_date stuff choose values soundex
    inet_aton curdate curtime sysdate getdate extract version database current_user session_user system_user
    schema user exists isnull like asc dcount dlookup try_cast try_convert parse strpos any all some not in
    json_extract json_value json_query xmlelement chr$
",
);
