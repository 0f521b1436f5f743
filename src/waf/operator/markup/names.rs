//! The words that HTML and JavaScript give a meaning: facts of the HTML standard, of the DOM and of older
//! browsers, in lower case.

/// Named character references that stand for ASCII, and can write a script.
pub(super) const ENTITIES: &[(&str, u8)] = &[
    ("tab", b'\t'),
    ("newline", b'\n'),
    ("colon", b':'),
    ("lpar", b'('),
    ("rpar", b')'),
    ("lt", b'<'),
    ("gt", b'>'),
    ("quot", b'"'),
    ("apos", b'\''),
    ("amp", b'&'),
    ("nbsp", b' '),
    ("period", b'.'),
    ("comma", b','),
    ("semi", b';'),
    ("sol", b'/'),
    ("bsol", b'\\'),
    ("excl", b'!'),
    ("num", b'#'),
    ("dollar", b'$'),
    ("percnt", b'%'),
    ("ast", b'*'),
    ("plus", b'+'),
    ("equals", b'='),
    ("quest", b'?'),
    ("commat", b'@'),
    ("lsqb", b'['),
    ("lbrack", b'['),
    ("rsqb", b']'),
    ("rbrack", b']'),
    ("lcub", b'{'),
    ("lbrace", b'{'),
    ("rcub", b'}'),
    ("rbrace", b'}'),
    ("lowbar", b'_'),
    ("grave", b'`'),
    ("diacriticalgrave", b'`'),
    ("verbar", b'|'),
    ("vert", b'|'),
    ("hat", b'^'),
];

/// Attributes whose value is an address that the browser follows or loads.
pub(super) fn is_address(name: &[u8]) -> bool {
    const NAMES: &[&[u8]] = &[
        b"href",
        b"src",
        b"action",
        b"formaction",
        b"data",
        b"poster",
        b"background",
        b"to",
        b"from",
        b"by",
        b"values",
        b"content",
        b"lowsrc",
        b"dynsrc",
        b"code",
        b"codebase",
        b"manifest",
        b"ping",
        b"url",
        b"folder",
        b"srcset",
        b"cite",
        b"profile",
        b"value",
        b"location",
        b"handler",
        b"implementation",
        b"longdesc",
        b"icon",
        b"usemap",
        b"archive",
        b"classid",
        b"target",
        b"filter",
        b"xml:base",
    ];
    let local = name.rsplit(|&byte| byte == b':').next().unwrap_or(name);
    NAMES.contains(&local) || NAMES.contains(&name)
}

/// Elements that load their address by themselves.
pub(super) fn loads(element: &[u8]) -> bool {
    const NAMES: &[&[u8]] = &[
        b"iframe",
        b"frame",
        b"embed",
        b"object",
        b"applet",
        b"script",
        b"img",
        b"image",
        b"link",
        b"meta",
        b"base",
        b"input",
        b"video",
        b"audio",
        b"source",
        b"bgsound",
        b"body",
        b"table",
        b"td",
        b"svg",
        b"use",
        b"animate",
        b"set",
        b"animation",
        b"isindex",
        b"foreignobject",
        b"portal",
        b"param",
        b"event-source",
        b"layer",
        b"ilayer",
        b"xml",
        b"feimage",
    ];
    NAMES.contains(&element)
}

/// Event handlers that wait for a click, a key or a change: as likely in an honest page as in an attack.
pub(super) fn waits_for_the_user(handler: &[u8]) -> bool {
    const NAMES: &[&[u8]] = &[
        b"onclick",
        b"ondblclick",
        b"onchange",
        b"oninput",
        b"onsubmit",
        b"onreset",
        b"onkeydown",
        b"onkeyup",
        b"onkeypress",
        b"onmouseover",
        b"onmouseout",
        b"onmousedown",
        b"onmouseup",
        b"onmouseenter",
        b"onmouseleave",
        b"onmousemove",
        b"oncontextmenu",
        b"ontouchstart",
        b"ontouchend",
        b"ondrop",
        b"ondragover",
        b"ondragstart",
        b"ondragend",
        b"onselectstart",
        b"onblur",
        b"onfocus",
        b"oncopy",
        b"onpaste",
        b"oncut",
        b"onselect",
    ];
    NAMES.contains(&handler)
}

/// Functions that show a dialog: what a probe calls to be seen.
pub(super) fn is_dialog(word: &[u8]) -> bool {
    matches!(word, b"alert" | b"confirm" | b"prompt" | b"print")
}

/// Names of the global object, and what a page has one of.
pub(super) fn is_global(word: &[u8]) -> bool {
    matches!(
        word,
        b"window"
            | b"self"
            | b"top"
            | b"parent"
            | b"this"
            | b"frames"
            | b"globalthis"
            | b"document"
            | b"content"
            | b"opener"
            | b"defaultview"
            | b"contentwindow"
            | b"view"
    )
}

/// Ways to an element, to what waits for the page, and to counters: calls that honest scripts begin with.
pub(super) fn is_lookup(word: &[u8]) -> bool {
    matches!(
        word,
        b"getelementbyid"
            | b"getelementsbytagname"
            | b"getelementsbyclassname"
            | b"getelementsbyname"
            | b"queryselector"
            | b"queryselectorall"
            | b"addeventlistener"
            | b"ready"
            | b"push"
            | b"date"
            | b"datalayer"
            | b"gtag"
            | b"getitem"
            | b"style"
            | b"display"
            | b"classname"
            | b"classlist"
            | b"preventdefault"
    )
}

/// Words that stand before a parenthesis without calling anything.
pub(super) fn is_keyword(word: &[u8]) -> bool {
    const WORDS: &[&[u8]] = &[
        b"if",
        b"for",
        b"while",
        b"switch",
        b"catch",
        b"function",
        b"return",
        b"typeof",
        b"in",
        b"of",
        b"void",
        b"new",
        b"else",
        b"do",
        b"try",
        b"var",
        b"let",
        b"const",
        b"delete",
        b"case",
        b"javascript",
        b"async",
        b"await",
    ];
    WORDS.contains(&word)
}
