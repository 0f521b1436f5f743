//! Places that attackers read and that pages do not name: files which every system of a kind has, and the folders they
//! are in. From the documentation of the systems and servers themselves.
//!
//! A pattern is a path in lower case without its root. A segment `?` is any one, `x*` begins so, and `*` as the last is
//! whatever follows. The files of a folder that a site may have as well stand one by one.

/// How much the mere name of a place says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// An application's own secrets. Editors and file managers of applications name them, too: steps up are asked for.
    Secret,
    /// Configuration and logs of a system: hostile as a whole value.
    System,
    /// Accounts, keys, the process itself: what traversal is tried with. Hostile behind steps up anywhere in a value.
    Account,
}

use Kind::{Account, Secret, System};

/// What was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub kind: Kind,
    /// The pattern or name, for the hit's note.
    pub name: &'static str,
}

/// The best of the places that the path is or is in, wherever it begins. What an application puts behind a path does not
/// hide it: `etc/passwd/view`.
pub(super) fn below(path: &[u8]) -> Option<Place> {
    let mut best: Option<Place> = None;
    let mut from = 0;
    loop {
        let rest = &path[from..];
        let within = file(segment(rest)).filter(|place| place.kind == Account);
        best = better(best, better(within, search(rest, Ending::Open)));
        match memchr::memchr(b'/', rest) {
            Some(next) => from += next + 1,
            None => break,
        }
    }
    better(best, file(path))
}

fn better(one: Option<Place>, other: Option<Place>) -> Option<Place> {
    match (one, other) {
        (Some(a), Some(b)) => Some(if b.kind > a.kind { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// The place that the path is or is in, from its first segment on.
pub(super) fn at(path: &[u8]) -> Option<Place> {
    search(path, Ending::Exact)
}

/// Whether more may follow behind a file of accounts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Exact,
    Open,
}

fn search(path: &[u8], ending: Ending) -> Option<Place> {
    let first = match segment(path) {
        only if only.len() == path.len() => clean(only),
        first => first,
    };
    let from = PLACES.partition_point(|(pattern, _)| head(pattern) < first);
    let own = PLACES[from..].iter().take_while(|(pattern, _)| head(pattern) == first);
    let open = |kind: Kind| if kind == Account { ending } else { Ending::Exact };
    let fitting = own.chain(ANY_FIRST).filter(|(pattern, kind)| fits(pattern, path, open(*kind)));
    let best = fitting.fold(None, |best, &(name, kind)| better(best, Some(Place { kind, name })));
    best.filter(|place| place.kind == Account || !is_of_a_site(path))
}

/// Adobe Experience Manager keeps designs and tags of sites under `/etc`, and shows them on the web.
fn is_of_a_site(path: &[u8]) -> bool {
    let (first, rest) = cut(path);
    first == b"etc" && rest.is_some_and(|rest| SITE_FOLDERS.contains(&segment(rest)))
}

/// By the name of the file alone.
pub(super) fn file(path: &[u8]) -> Option<Place> {
    let leaf = leaf(path);
    let known = FILES.binary_search_by(|(name, _)| name.as_bytes().cmp(leaf)).ok();
    if let Some(&(name, kind)) = known.map(|at| &FILES[at]) {
        return Some(Place { kind, name });
    }
    leaf.starts_with(b".env.").then_some(Place { kind: Secret, name: ".env" })
}

/// The configuration files and logs of servers, under the folders that they are installed in.
pub(super) fn kept_by_server(path: &[u8]) -> Option<Place> {
    if !is_one_of(segment(path), SYSTEM_FOLDERS) && !is_one_of(segment(path), SERVERS) {
        return None;
    }
    let system = |name| Some(Place { kind: System, name });
    let of_server =
        || path.split(|&byte| byte == b'/').rev().skip(1).any(|folder| is_one_of(folder, SERVERS));
    if let Some(place) = file(path) {
        let is_own = place.kind == Account || place.name == ".env" || (place.kind == System && of_server());
        return if is_own { system(place.name) } else { None };
    }
    let leaf = leaf(path);
    let ending = ENDINGS.iter().find(|ending| leaf.ends_with(ending.as_bytes())).filter(|_| of_server());
    ending.and_then(|name| system(name))
}

/// True when a path that begins so can be a place; saves reading all others. Without a root only the places themselves
/// are recognised.
pub(super) fn may_begin(first: &[u8], is_rooted: bool) -> bool {
    let first = clean(first);
    if first.is_empty() || first.len() > LONGEST_FIRST || memchr::memchr(b':', first).is_some() {
        return false;
    }
    let fold = |byte: u8| byte.to_ascii_lowercase();
    let order = |name: &[u8]| name.iter().copied().cmp(first.iter().copied().map(fold));
    let is_place = PLACES.binary_search_by(|(pattern, _)| order(head(pattern))).is_ok();
    let is_rooted_place = || {
        FILES.binary_search_by(|(name, _)| order(name.as_bytes())).is_ok()
            || [ANY_BEGINNING, SYSTEM_FOLDERS, SERVERS].iter().any(|names| starts_any(first, names))
    };
    is_place || first.first() == Some(&b'~') || (is_rooted && is_rooted_place())
}

/// `apachegroup 2.4.1 (unix)` is longer than any folder above it.
const LONGEST_FIRST: usize = 40;

fn starts_any(first: &[u8], beginnings: &[&str]) -> bool {
    beginnings
        .iter()
        .any(|name| first.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes())))
}

/// `apache2`, `php-5.4`: a number or another mark may follow, letters make another word of it.
fn is_one_of(folder: &[u8], names: &[&str]) -> bool {
    names.iter().any(|name| {
        let rest = folder.strip_prefix(name.as_bytes());
        rest.is_some_and(|rest| !rest.first().is_some_and(u8::is_ascii_alphabetic))
    })
}

/// The segments that a developer's tree begins with, seen from a file in it.
pub(super) fn is_source_folder(first: &[u8]) -> bool {
    SOURCE_FOLDERS.binary_search_by(|name| name.as_bytes().cmp(first)).is_ok()
}

/// An ending that pages, modules and the files they load have.
pub(super) fn is_page_file(path: &[u8]) -> bool {
    let leaf = leaf(path);
    let Some(dot) = memchr::memrchr(b'.', leaf) else { return false };
    PAGE_ENDINGS.binary_search_by(|ending| ending.as_bytes().cmp(&leaf[dot + 1..])).is_ok()
}

fn segment(path: &[u8]) -> &[u8] {
    &path[..memchr::memchr(b'/', path).unwrap_or(path.len())]
}

/// The last segment, without what systems or filters cut from it: behind a NUL or semicolon, dots and spaces at its end.
pub(super) fn leaf(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    clean(&path[memchr::memrchr(b'/', path).map_or(0, |at| at + 1)..])
}

fn clean(segment: &[u8]) -> &[u8] {
    let end = memchr::memchr2(0, b';', segment).unwrap_or(segment.len());
    let mut name = &segment[..end];
    while let [rest @ .., b'.' | b' ' | b'$' | b'\r' | b'\n' | b'\t'] = name {
        name = rest;
    }
    name
}

fn head(pattern: &str) -> &[u8] {
    segment(pattern.as_bytes())
}

fn fits(pattern: &str, path: &[u8], ending: Ending) -> bool {
    let mut path = Some(path.strip_suffix(b"/").unwrap_or(path));
    let mut pattern = pattern.as_bytes();
    loop {
        let (wanted, later) = cut(pattern);
        let Some((found, next)) = path.map(cut) else { return false };
        let found = if next.is_none() { clean(found) } else { found };
        let same = match wanted {
            b"*" if later.is_none() => return !found.is_empty(),
            b"?" => !found.is_empty(),
            [start @ .., b'*'] => found.starts_with(start),
            exact => found == exact,
        };
        match (same, later) {
            (false, _) => return false,
            (true, None) => return next.is_none() || ending == Ending::Open,
            (true, Some(later)) => (pattern, path) = (later, next),
        }
    }
}

fn cut(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'/', path) {
        Some(at) => (&path[..at], Some(&path[at + 1..])),
        None => (path, None),
    }
}

/// Sorted by their first segments.
const PLACES: &[(&str, Kind)] = &[
    ("%systemroot%/repair/*", Account),
    ("%systemroot%/system.ini", Account),
    ("%systemroot%/system32/config/*", Account),
    ("%systemroot%/system32/drivers/etc/*", Account),
    ("%systemroot%/win.ini", Account),
    ("%windir%/repair/*", Account),
    ("%windir%/system.ini", Account),
    ("%windir%/system32/config/*", Account),
    ("%windir%/system32/drivers/etc/*", Account),
    ("%windir%/win.ini", Account),
    (".aws/config", Account),
    (".aws/credentials", Account),
    (".azure/*", Account),
    (".config/gcloud/*", Account),
    (".docker/config.json", Account),
    (".git/config", Account),
    (".git/head", Account),
    (".git/index", Account),
    (".git/logs/*", Account),
    (".kube/config", Account),
    (".ssh/*", Account),
    (".svn/entries", Account),
    (".svn/wc.db", Account),
    ("boot/grub*", System),
    ("boot/grub*/*", Secret),
    ("boot/grub/grub.cfg", System),
    ("boot/grub/menu.lst", System),
    ("boot/grub2/grub.cfg", System),
    ("boot.ini", Account),
    ("dev/fd/*", Account),
    ("dev/kmem", Account),
    ("dev/mem", Account),
    ("dev/random", Secret),
    ("dev/sda*", Account),
    ("dev/tcp/*", Account),
    ("dev/udp/*", Account),
    ("dev/urandom", Secret),
    ("dev/zero", Secret),
    ("documents and settings/*", Secret),
    ("documents and settings/administrator/*", System),
    ("etc/*", Secret),
    ("etc/aliases", System),
    ("etc/anacrontab", System),
    ("etc/apache", System),
    ("etc/apache2/*", System),
    ("etc/apache22/*", System),
    ("etc/apt/sources.list", System),
    ("etc/at.allow", System),
    ("etc/at.deny", System),
    ("etc/bash.bashrc", System),
    ("etc/bashrc", System),
    ("etc/bootptab", System),
    ("etc/chrootusers", System),
    ("etc/chttp.conf", System),
    ("etc/cron.allow", System),
    ("etc/cron.d/*", System),
    ("etc/cron.daily/*", System),
    ("etc/cron.deny", System),
    ("etc/crontab", System),
    ("etc/cups/*", System),
    ("etc/debian_version", System),
    ("etc/default/passwd", System),
    ("etc/defaultdomain", System),
    ("etc/environment", System),
    ("etc/exports", System),
    ("etc/fedora-release", System),
    ("etc/fstab", System),
    ("etc/ftpaccess", System),
    ("etc/ftpchroot", System),
    ("etc/ftphosts", System),
    ("etc/ftpusers", System),
    ("etc/group", Account),
    ("etc/group-", Account),
    ("etc/groups", System),
    ("etc/grub.conf", System),
    ("etc/grub.d/*", System),
    ("etc/grub/*", System),
    ("etc/gshadow", Account),
    ("etc/host.conf", Account),
    ("etc/hostname", Account),
    ("etc/hosts", Account),
    ("etc/hosts.allow", System),
    ("etc/hosts.deny", System),
    ("etc/hosts.equiv", System),
    ("etc/httpd.conf", System),
    ("etc/httpd/*", System),
    ("etc/inetd.conf", System),
    ("etc/init.d/apache*", System),
    ("etc/init.d/mysql*", System),
    ("etc/init.d/ssh*", System),
    ("etc/inittab", System),
    ("etc/insserv.conf", System),
    ("etc/iptables/*", System),
    ("etc/issue", Account),
    ("etc/issue.net", System),
    ("etc/kibana/*", System),
    ("etc/knockd.conf", System),
    ("etc/krb5.conf", System),
    ("etc/krb5.keytab", System),
    ("etc/kubernetes/*", Account),
    ("etc/ld.so.conf", System),
    ("etc/ldap.conf", System),
    ("etc/ldap/*", System),
    ("etc/lighttpd/*", System),
    ("etc/lilo.conf", System),
    ("etc/login.defs", System),
    ("etc/logrotate.conf", System),
    ("etc/logrotate.d/*", System),
    ("etc/lsb-release", System),
    ("etc/lsws/*", System),
    ("etc/mail/*", System),
    ("etc/mailman/*", System),
    ("etc/manpath.config", System),
    ("etc/master.passwd", Account),
    ("etc/modules", System),
    ("etc/modules.conf", System),
    ("etc/motd", Account),
    ("etc/mtab", System),
    ("etc/my.cnf", System),
    ("etc/my.ini", System),
    ("etc/mysql.cnf", System),
    ("etc/mysql.conf", System),
    ("etc/mysql/*", System),
    ("etc/named.conf", System),
    ("etc/netconfig", System),
    ("etc/network/*", System),
    ("etc/networks", System),
    ("etc/nginx/*", System),
    ("etc/npasswd", System),
    ("etc/nsswitch.conf", System),
    ("etc/openldap/*", System),
    ("etc/openvpn/*", System),
    ("etc/os-release", System),
    ("etc/pam.conf", System),
    ("etc/pam.d/*", System),
    ("etc/passwd", Account),
    ("etc/passwd-", Account),
    ("etc/passwd.bak", Account),
    ("etc/passwd~", Account),
    ("etc/php*/*", System),
    ("etc/php.ini", System),
    ("etc/php/*", System),
    ("etc/phpmyadmin/*", System),
    ("etc/postfix/*", System),
    ("etc/postgresql/*", System),
    ("etc/printcap", System),
    ("etc/profile", System),
    ("etc/proftp.conf", System),
    ("etc/proftpd.conf", System),
    ("etc/proftpd/*", System),
    ("etc/protocols", System),
    ("etc/pure-ftpd.conf", System),
    ("etc/pure-ftpd/*", System),
    ("etc/pureftpd.passwd", System),
    ("etc/pureftpd.pdb", System),
    ("etc/rc.conf", System),
    ("etc/rc.local", System),
    ("etc/redhat-release", System),
    ("etc/redis.conf", System),
    ("etc/redis/*", System),
    ("etc/release", System),
    ("etc/resolv.conf", Account),
    ("etc/rpc", System),
    ("etc/rsyncd.conf", System),
    ("etc/samba/*", System),
    ("etc/screenrc", System),
    ("etc/securetty", System),
    ("etc/security/*", System),
    ("etc/security/passwd", Account),
    ("etc/sendmail.cf", System),
    ("etc/services", System),
    ("etc/shadow", Account),
    ("etc/shadow-", Account),
    ("etc/shadow~", Account),
    ("etc/shells", System),
    ("etc/slackware-release", System),
    ("etc/smb.conf", System),
    ("etc/snmp/*", System),
    ("etc/snmpd.conf", System),
    ("etc/spwd.db", Account),
    ("etc/squid/*", System),
    ("etc/squirrelmail/*", System),
    ("etc/ssh/*", Account),
    ("etc/ssl/*", System),
    ("etc/sso/*", System),
    ("etc/stunnel/*", System),
    ("etc/subversion/*", System),
    ("etc/sudoers", Account),
    ("etc/sudoers.d/*", Account),
    ("etc/suse-release", System),
    ("etc/sysconfig/*", System),
    ("etc/sysctl.conf", System),
    ("etc/syslog.conf", System),
    ("etc/system-release", System),
    ("etc/termcap", System),
    ("etc/timezone", System),
    ("etc/tomcat*/*", System),
    ("etc/ufw/*", System),
    ("etc/updatedb.conf", System),
    ("etc/utmp", System),
    ("etc/uucp/*", System),
    ("etc/vhcs2/*", System),
    ("etc/vsftpd.chroot_list", System),
    ("etc/vsftpd.conf", System),
    ("etc/vsftpd/*", System),
    ("etc/wgetrc", System),
    ("etc/wtmp", System),
    ("etc/wu-ftpd/*", System),
    ("etc/x11/*", System),
    ("etc/xinetd.conf", System),
    ("etc/xinetd.d/*", System),
    ("inetpub/logs/*", System),
    ("library/webserver/*", Secret),
    ("library/webserver/documents/*", System),
    ("meta-inf/context.xml", Account),
    ("meta-inf/manifest.mf", Secret),
    ("mysql/data/*", Secret),
    ("private/etc/*", Account),
    ("private/var/log/*", System),
    ("proc/?/cmdline", Account),
    ("proc/?/cwd", Account),
    ("proc/?/cwd/*", Account),
    ("proc/?/environ", Account),
    ("proc/?/exe", Account),
    ("proc/?/fd/*", Account),
    ("proc/?/maps", Account),
    ("proc/?/mem", Account),
    ("proc/?/mounts", Account),
    ("proc/?/root/*", Account),
    ("proc/?/stat", Account),
    ("proc/?/status", Account),
    ("proc/bus/*", System),
    ("proc/cmdline", Account),
    ("proc/config.gz", Account),
    ("proc/cpuinfo", Account),
    ("proc/devices", System),
    ("proc/diskstats", System),
    ("proc/filesystems", System),
    ("proc/interrupts", System),
    ("proc/iomem", System),
    ("proc/ioports", System),
    ("proc/kallsyms", System),
    ("proc/kcore", System),
    ("proc/key-users", System),
    ("proc/keys", System),
    ("proc/kmsg", System),
    ("proc/loadavg", System),
    ("proc/locks", System),
    ("proc/meminfo", Account),
    ("proc/misc", System),
    ("proc/modules", System),
    ("proc/mounts", Account),
    ("proc/net/arp", Account),
    ("proc/net/dev", Account),
    ("proc/net/fib_trie", Account),
    ("proc/net/if_inet6", Account),
    ("proc/net/route", Account),
    ("proc/net/tcp*", Account),
    ("proc/net/udp*", Account),
    ("proc/net/unix", Account),
    ("proc/partitions", System),
    ("proc/sched_debug", Account),
    ("proc/scsi/*", System),
    ("proc/self", Account),
    ("proc/self/*", Account),
    ("proc/slabinfo", System),
    ("proc/stat", System),
    ("proc/swaps", System),
    ("proc/sys/kernel/core_pattern", System),
    ("proc/sys/kernel/hostname", System),
    ("proc/sys/kernel/osrelease", System),
    ("proc/sys/kernel/ostype", System),
    ("proc/sys/kernel/version", System),
    ("proc/sys/kernel/random/*", System),
    ("proc/sysvipc/*", System),
    ("proc/thread-self/*", Account),
    ("proc/tty/*", System),
    ("proc/uptime", System),
    ("proc/version", Account),
    ("proc/version_signature", Account),
    ("proc/vmstat", System),
    ("proc/zoneinfo", System),
    ("root/.*", Account),
    ("root/.*/*", Account),
    ("root/anaconda-ks.cfg", Account),
    ("run/secrets/*", Account),
    ("sys/class/net/*", System),
    ("sys/devices/virtual/dmi/*", System),
    ("sysprep/*", Secret),
    ("sysprep.inf", System),
    ("system volume information/*", System),
    ("tmp/sess_*", Account),
    ("users/administrator/*", Secret),
    ("var/adm/*", Secret),
    ("var/adm/log/*", System),
    ("var/apache*/*", System),
    ("var/backups/*", Secret),
    ("var/backups/passwd*", Account),
    ("var/backups/shadow*", Account),
    ("var/cpanel/*", Secret),
    ("var/cpanel/cpanel.config", System),
    ("var/lib/dhcp*/*", Secret),
    ("var/lib/dpkg/*", Secret),
    ("var/lib/dpkg/status", System),
    ("var/lib/kubelet/*", Account),
    ("var/lib/mlocate/*", Account),
    ("var/lib/mysql/*", System),
    ("var/lib/pgsql/*", System),
    ("var/lib/php*/*", System),
    ("var/lib/postgresql/*", System),
    ("var/local/www/conf/*", Secret),
    ("var/log/*", Secret),
    ("var/log/access.log", System),
    ("var/log/access_log", System),
    ("var/log/apache-ssl/*", System),
    ("var/log/apache/*", System),
    ("var/log/apache2/*", System),
    ("var/log/audit/*", System),
    ("var/log/auth.log", System),
    ("var/log/authlog", System),
    ("var/log/boot", System),
    ("var/log/boot.log", System),
    ("var/log/btmp", System),
    ("var/log/chttp.log", System),
    ("var/log/cloud-init.log", System),
    ("var/log/cron", System),
    ("var/log/cron.log", System),
    ("var/log/cups/*", System),
    ("var/log/daemon.log", System),
    ("var/log/debug", System),
    ("var/log/dmesg", System),
    ("var/log/dpkg.log", System),
    ("var/log/ejabberd/*", System),
    ("var/log/error.log", System),
    ("var/log/error_log", System),
    ("var/log/exim/*", System),
    ("var/log/exim4/*", System),
    ("var/log/exim_mainlog", System),
    ("var/log/faillog", System),
    ("var/log/ftp-proxy/*", System),
    ("var/log/ftplog", System),
    ("var/log/gitlab/*", System),
    ("var/log/httpd/*", System),
    ("var/log/httpsd/*", System),
    ("var/log/installer/*", System),
    ("var/log/kern.log", System),
    ("var/log/lastlog", System),
    ("var/log/ldapfw.log", System),
    ("var/log/lighttpd/*", System),
    ("var/log/mail", System),
    ("var/log/mail.err", System),
    ("var/log/mail.info", System),
    ("var/log/mail.log", System),
    ("var/log/mail.warn", System),
    ("var/log/maillog", System),
    ("var/log/messages", System),
    ("var/log/mysql.log", System),
    ("var/log/mysql/*", System),
    ("var/log/mysqld.log", System),
    ("var/log/mysqlderror.log", System),
    ("var/log/news/*", System),
    ("var/log/nginx/*", System),
    ("var/log/php*.log", System),
    ("var/log/postgresql/*", System),
    ("var/log/proftpd", System),
    ("var/log/proftpd.log", System),
    ("var/log/proftpd/*", System),
    ("var/log/pure-ftpd/*", System),
    ("var/log/pureftpd.log", System),
    ("var/log/redis/*", System),
    ("var/log/samba/*", System),
    ("var/log/secure", System),
    ("var/log/spooler", System),
    ("var/log/squid/*", System),
    ("var/log/sshd.log", System),
    ("var/log/sudo.log", System),
    ("var/log/syslog", System),
    ("var/log/tallylog", System),
    ("var/log/thttpd_log", System),
    ("var/log/tomcat*/*", System),
    ("var/log/ufw.log", System),
    ("var/log/user.log", System),
    ("var/log/vmware/*", System),
    ("var/log/vsftpd.log", System),
    ("var/log/wtmp", System),
    ("var/log/xferlog", System),
    ("var/log/xorg.0.log", System),
    ("var/log/yum.log", System),
    ("var/mail/*", System),
    ("var/mysql/*", System),
    ("var/nm2/*", Secret),
    ("var/run/secrets/*", Account),
    ("var/run/utmp", System),
    ("var/saf/*", Secret),
    ("var/spool/cron/*", System),
    ("var/spool/mail/*", System),
    ("var/webmin/*", Secret),
    ("web-inf/applicationcontext.xml", Account),
    ("web-inf/classes/*", Account),
    ("web-inf/config/*", Account),
    ("web-inf/lib/*", Account),
    ("web-inf/spring*", Account),
    ("web-inf/struts-config.xml", Account),
    ("web-inf/web.xml", Account),
    ("windows/debug/*", System),
    ("windows/my.ini", System),
    ("windows/panther/*", Account),
    ("windows/php.ini", System),
    ("windows/repair/*", Account),
    ("windows/system.ini", Account),
    ("windows/system32/cmd.exe", Secret),
    ("windows/system32/config/*", Account),
    ("windows/system32/drivers/etc/*", Account),
    ("windows/system32/eula.txt", System),
    ("windows/system32/inetsrv/*", System),
    ("windows/system32/license.rtf", System),
    ("windows/system32/logfiles/*", System),
    ("windows/win.ini", Account),
    ("windows/windowsupdate.log", System),
    ("winnt/debug/*", System),
    ("winnt/my.ini", System),
    ("winnt/php.ini", System),
    ("winnt/repair/*", Account),
    ("winnt/system.ini", Account),
    ("winnt/system32/cmd.exe", Account),
    ("winnt/system32/config/*", Account),
    ("winnt/system32/drivers/etc/*", Account),
    ("winnt/system32/inetsrv/*", System),
    ("winnt/system32/logfiles/*", System),
    ("winnt/win.ini", Account),
    ("wwwroot/web.config", System),
    ("~/.aws/*", Account),
    ("~/.bash*", Account),
    ("~/.kube/config", Account),
    ("~/.mysql_history", Account),
    ("~/.ssh/*", Account),
    ("~/.zsh_history", Account),
];

const SITE_FOLDERS: &[&[u8]] = &[
    b"acs-commons",
    b"blueprints",
    b"clientlibs",
    b"cloudservices",
    b"commerce",
    b"dam",
    b"designs",
    b"map",
    b"mobile",
    b"notification",
    b"packages",
    b"projects",
    b"replication",
    b"segmentation",
    b"social",
    b"tags",
    b"workflow",
];

/// Places whose first segment varies.
const ANY_FIRST: &[(&str, Kind)] = &[
    ("home/?/.bash*", Account),
    ("home/?/.ssh/*", Account),
    ("home/?/.aws/*", Account),
    ("home/?/.my.cnf", Account),
    ("home/?/.rhosts", Account),
    ("home/?/.zsh_history", Account),
    ("home/?/.mysql_history", Account),
    ("home/?/.profile", Account),
    ("users/?/.ssh/*", Account),
    ("users/?/.aws/*", Account),
    ("users/?/.bash*", Account),
    ("users/?/ntuser.dat", Account),
    ("~*/.ssh/*", Account),
];

const ANY_BEGINNING: &[&str] = &["home", "users"];

/// Folders that systems and installers put servers in; of each the beginning.
const SYSTEM_FOLDERS: &[&str] = &[
    "bin",
    "etc",
    "inetpub",
    "minint",
    "netserver",
    "opt",
    "private",
    "program files",
    "program data",
    "progra~",
    "programfiles",
    "programdata",
    "root",
    "srv",
    "sysprep",
    "unattend",
    "usr",
    "var",
    "volumes",
    "windows",
    "winnt",
];

/// Servers, as their folders are named; of each the beginning.
const SERVERS: &[&str] = &[
    "apache",
    "appserv",
    "cpanel",
    "exim",
    "httpd",
    "jakarta",
    "jboss",
    "lampp",
    "lighttpd",
    "logs",
    "lsws",
    "mysql",
    "nginx",
    "oracle",
    "php",
    "postgres",
    "proftpd",
    "pure-ftpd",
    "pureftpd",
    "samba",
    "squid",
    "tomcat",
    "vsftpd",
    "wamp",
    "www",
    "xampp",
    "zend",
    "zeus",
];

/// How the names of configuration files and logs end.
const ENDINGS: &[&str] =
    &[".conf", ".cnf", ".ini", ".log", ".cfg", ".err", "_log", "-log", ".pid", ".htaccess", ".htpasswd"];

/// Files by name alone, sorted.
const FILES: &[(&str, Kind)] = &[
    (".bash_history", Account),
    (".bash_logout", Account),
    (".bash_profile", Account),
    (".bashrc", Account),
    (".dockercfg", Account),
    (".env", Secret),
    (".ftpconfig", Account),
    (".git-credentials", Account),
    (".htaccess", Account),
    (".htpasswd", Account),
    (".my.cnf", Account),
    (".mysql_history", Account),
    (".netrc", Account),
    (".npmrc", Secret),
    (".pgpass", Account),
    (".profile", Account),
    (".psql_history", Account),
    (".pypirc", Account),
    (".rediscli_history", Account),
    (".rhosts", Account),
    (".s3cfg", Account),
    (".wgetrc", Secret),
    (".zsh_history", Account),
    ("access.log", System),
    ("access_log", System),
    ("apache.conf", Account),
    ("apache2.conf", Account),
    ("application.properties", Secret),
    ("application.yaml", Secret),
    ("application.yml", Secret),
    ("applicationhost.config", Account),
    ("appsettings.json", Secret),
    ("authorized_keys", Account),
    ("autoexec.bat", Account),
    ("boot.ini", Account),
    ("bootstrap.yml", Secret),
    ("catalina.out", System),
    ("config.inc.php", Secret),
    ("config.php", Secret),
    ("config.sys", Account),
    ("configuration.php", Secret),
    ("credentials.json", Secret),
    ("database.yml", Secret),
    ("db.php", Secret),
    ("debian.cnf", Account),
    ("docker-compose.yml", Secret),
    ("error.log", System),
    ("error_log", System),
    ("global.asa", Account),
    ("global.asax", Account),
    ("httpd.conf", Account),
    ("httpd.pid", System),
    ("id_dsa", Account),
    ("id_ecdsa", Account),
    ("id_ed25519", Account),
    ("id_rsa", Account),
    ("id_rsa.pub", Account),
    ("known_hosts", Account),
    ("lighttpd.conf", Account),
    ("localsettings.php", Secret),
    ("machine.config", Account),
    ("master.passwd", Account),
    ("my.cnf", Account),
    ("my.ini", Account),
    ("mysqld.log", System),
    ("nginx.conf", Account),
    ("ntuser.dat", Account),
    ("pagefile.sys", Account),
    ("parameters.yml", Secret),
    ("passwd", Account),
    ("pg_hba.conf", Account),
    ("php.ini", Account),
    ("postgresql.conf", Account),
    ("proftpd.conf", Account),
    ("pure-ftpd.conf", Account),
    ("pureftpd.pdb", Account),
    ("secrets.json", Secret),
    ("secrets.yml", Secret),
    ("serverinfo.xml", Secret),
    ("settings.php", Secret),
    ("settings.py", Secret),
    ("shadow", Account),
    ("smb.conf", Account),
    ("sshd_config", Account),
    ("sysprep.inf", Account),
    ("sysprep.xml", Account),
    ("system.ini", Account),
    ("tomcat-users.xml", Account),
    ("unattend.xml", Account),
    ("unattended.xml", Account),
    ("vsftpd.conf", Account),
    ("web.config", Account),
    ("win.ini", Account),
    ("wp-config.php", Account),
    ("wp-config.php.bak", Account),
];

/// Sorted.
const SOURCE_FOLDERS: &[&str] = &[
    "_next",
    "app",
    "apps",
    "assets",
    "build",
    "client",
    "common",
    "components",
    "config",
    "core",
    "css",
    "dist",
    "docs",
    "examples",
    "fonts",
    "helpers",
    "hooks",
    "images",
    "img",
    "js",
    "lib",
    "libs",
    "media",
    "modules",
    "node_modules",
    "packages",
    "pages",
    "public",
    "scripts",
    "server",
    "services",
    "shared",
    "src",
    "static",
    "store",
    "styles",
    "test",
    "tests",
    "theme",
    "themes",
    "types",
    "ui",
    "util",
    "utils",
    "vendor",
    "views",
    "webpack",
];

/// Sorted.
const PAGE_ENDINGS: &[&str] = &[
    "aspx", "avif", "c", "cc", "cjs", "cpp", "cs", "css", "csv", "dart", "doc", "docx", "eot", "gif", "go",
    "h", "hpp", "htm", "html", "ico", "ipynb", "java", "jpeg", "jpg", "js", "json", "jsx", "kt", "less",
    "map", "md", "mdx", "mjs", "mov", "mp3", "mp4", "ogg", "otf", "pdf", "png", "ppt", "pptx", "proto", "py",
    "rb", "rs", "rst", "sass", "scala", "scss", "shtml", "svelte", "svg", "swift", "tex", "tif", "tiff",
    "ts", "tsx", "ttf", "vue", "wasm", "wav", "webm", "webp", "woff", "woff2", "xhtml", "xls", "xlsx", "zip",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted_as_their_searches_need() {
        assert!(PLACES.is_sorted_by_key(|(pattern, _)| head(pattern)));
        assert!(FILES.is_sorted_by_key(|(name, _)| *name));
        assert!(SOURCE_FOLDERS.is_sorted() && PAGE_ENDINGS.is_sorted());
        for (_, byte) in PLACES.iter().flat_map(|(p, _)| p.bytes().map(move |byte| (p, byte))) {
            assert!(!byte.is_ascii_uppercase());
        }
    }

    #[test]
    fn a_pattern_covers_the_whole_path() {
        for (pattern, path, expect) in [
            ("etc/passwd", "etc/passwd", true),
            ("etc/passwd", "etc/passwd/", true),
            ("etc/passwd", "etc/passwd\0.png", true),
            ("etc/passwd", "etc/passwd...", true),
            ("etc/passwd", "etc/passwd/x", false),
            ("etc/passwd", "etc/passwdx", false),
            ("etc/*", "etc/a/b", true),
            ("etc/*", "etc/", false),
            ("etc/*", "etc", false),
            ("proc/?/environ", "proc/1/environ", true),
            ("proc/?/environ", "proc/environ", false),
            ("tmp/sess_*", "tmp/sess_abc", true),
            ("boot/grub*/*", "boot/grub2/grub.cfg", true),
        ] {
            assert_eq!(fits(pattern, path.as_bytes(), Ending::Exact), expect, "{pattern} {path}");
        }
    }

    #[test]
    fn the_strongest_place_counts() {
        let kind = |path: &str| below(path.as_bytes()).map(|place| place.kind);
        assert_eq!(kind("a/etc/passwd"), Some(Account));
        assert_eq!(kind("etc/crontab"), Some(System));
        assert_eq!(kind("etc/alternatives/x"), Some(Secret));
        assert_eq!(kind("app/.env.local"), Some(Secret));
        assert_eq!(kind("src/main.rs"), None);
        assert_eq!(kept_by_server(b"usr/local/apache2/y.conf").map(|place| place.kind), Some(System));
        assert_eq!(kept_by_server(b"usr/local/x/y.conf"), None);
        assert_eq!(kept_by_server(b"docs/nginx.conf"), None);
    }
}
