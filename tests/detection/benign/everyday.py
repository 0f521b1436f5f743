r"""Values that people and programs send to interfaces every day: filters, queries, rules, notes with code, logs, sheets.

Written by us from the public grammar of each language. The language of the templates is in fill.py; what has no token in it
is taken as it stands. Whole requests around such values are in exchanges.py.
"""

import fill

VALUES = {
    "everyday-odata": r"""
Name eq 'O''Neil' or contains(tolower(Title),'§word§')
$filter=Price gt §small§ and (Category eq 'A' or Category eq 'B')
substringof('§word§', Name) eq true
Orders/any(o: o/Status eq 'Open' and o/Total ge §small§)
Items/all(d:d/Quantity gt 100) and not endswith(Email,'@example.com')
createdDateTime ge §iso§ and userType eq 'Guest'
mailNickname eq '§word§' or proxyAddresses/any(x:x eq 'smtp:§email§')
id in ('§uuid§','§uuid§','§uuid§')
(statecode eq 0) and (_parentaccountid_value eq §uuid§)
year(BirthDate) lt 1990 and month(BirthDate) eq 12
Microsoft.Dynamics.CRM.LastXDays(PropertyName='createdon',PropertyValue=7)
filter(groupby((Country),aggregate(Amount with sum as Total)),Total gt 1000)
1 eq 1
Name ne null and Name ne ''
$expand=Orders($filter=Total gt 100;$select=Id,Total;$orderby=Total desc)
cast(Id, 'Edm.String') eq '§int§'
length(Comment) gt 0 and indexof(Comment,'it''s') ge 0
""",
    "everyday-lucene": r"""
status:[400 TO 499] AND NOT url:*health*
message:"connection refused" OR message:/time(d )?out/
+type:post -author:"§name§" title:§word§~2
(host:web01 OR host:web02) AND level:(ERROR OR WARN)
_exists_:user.id AND http.response.status_code:>=500
event.code:4625 and winlog.event_data.TargetUserName:* and not source.ip:10.0.0.0/8
process.command_line:*powershell* and not user.name:SYSTEM
kubernetes.pod.name:"api-*" && log.level:error
name:O'Brien AND city:"Coeur d'Alene"
price:{10 TO 20] || price:[* TO 5}
{!edismax qf="title^2 body"}§words§
{!geofilt sfield=store pt=§lat§,§lat§ d=5}
q=*:*&fq={!term f=category}Books & Magazines
text:(quick OR brown) AND date:[NOW-1DAY/DAY TO NOW]
tags:"c++" OR tags:"c#"
file.path:"C:\\Windows\\System32\\cmd.exe"
request:"/etc/*" AND response:404
user_agent:(*sqlmap* OR *nikto*)
""",
    "everyday-jql": r"""
project = WEB AND issuetype in (Bug, Task) AND status != Done ORDER BY priority DESC, updated ASC
assignee = currentUser() AND resolution = Unresolved
text ~ "\"null pointer\"" AND created >= -7d
sprint in openSprints() AND labels = "won't-fix"
reporter in (membersOf("jira-users")) OR watcher = §word§
summary ~ "drop table" AND component = "SQL"
key in (ABC-1, ABC-2, ABC-3) AND "Story Points" is not EMPTY
issue in linkedIssues("ABC-12", "is blocked by") OR parent = ABC-12
type = page and space in ("DEV","OPS") and title ~ "it's*"
status changed from "Open" to "Closed" after startOfMonth("-1")
filter = 10010 AND fixVersion = 1.2.3
is:issue is:open author:§word§ sort:updated-desc "cannot read property 'x' of undefined"
repo:example/app language:rust path:/^src\/.*\.rs$/ "fn main"
from:(§email§) subject:(invoice OR rechnung) has:attachment -in:trash
SELECT [System.Id], [System.Title] FROM WorkItems WHERE [System.TeamProject] = @project AND [System.State] <> 'Closed' ORDER BY [System.ChangedDate] DESC
""",
    "everyday-soql": r"""
SELECT Id, Name FROM Account WHERE Name LIKE '§word§%' LIMIT 10
SELECT Id FROM Contact WHERE Email = '§email§' AND LastName = 'O\'Hara'
FIND {§word§} IN ALL FIELDS RETURNING Account(Id, Name), Contact
SELECT COUNT(), StageName FROM Opportunity GROUP BY StageName
SELECT campaign.name, metrics.clicks FROM campaign WHERE segments.date DURING LAST_7_DAYS
select * from yahoo.finance.quotes where symbol in ("A","B")
SELECT TOP 100 c.id, c.name FROM c WHERE c.type = 'order' AND ARRAY_CONTAINS(c.tags, 'new')
SELECT * FROM c WHERE c._ts > §epoch§ ORDER BY c._ts DESC OFFSET 0 LIMIT 20
PartitionKey eq '§word§' and RowKey ge '§dig4§'
#pk = :pk AND begins_with(#sk, :prefix)
attribute_not_exists(id) OR version = :expected
SET #n = :n, updatedAt = if_not_exists(updatedAt, :now) REMOVE oldField
""",
    "everyday-sql-console": r"""
SELECT * FROM users WHERE id = §small§;
select count(*) from information_schema.tables where table_schema = 'public'
SELECT u.name, o.total FROM users u JOIN orders o ON o.user_id = u.id WHERE o.created_at > NOW() - INTERVAL '7 days' ORDER BY 2 DESC
WITH t AS (SELECT date_trunc('day', created_at) AS d, count(*) AS n FROM events GROUP BY 1) SELECT d, sum(n) OVER (ORDER BY d) FROM t
SELECT $__timeGroup(time, '5m'), avg(value) FROM metrics WHERE $__timeFilter(time) GROUP BY 1
SELECT name FROM a UNION ALL SELECT name FROM b
INSERT INTO log (msg) VALUES ('it''s done'); COMMIT;
UPDATE products SET price = price * 1.05 WHERE category = 'Books' AND price < 20
-- monthly revenue
SELECT DATE_FORMAT(d, '%Y-%m') m, SUM(x) FROM sales GROUP BY m HAVING SUM(x) > 0;
EXPLAIN ANALYZE SELECT 1
SHOW TABLES LIKE '%order%'
DESCRIBE customers
CREATE INDEX idx_a ON t (a) WHERE a IS NOT NULL
SELECT CASE WHEN status = 'a' THEN 1 ELSE 0 END AS f FROM t WHERE name = '§name§'
SELECT table_name, column_name FROM information_schema.columns WHERE table_name = 'orders'
SELECT APPROX_QUANTILES(x, 100)[OFFSET(50)] FROM `project.dataset.table` WHERE _TABLE_SUFFIX BETWEEN '20240101' AND '20240131'
SELECT JSON_EXTRACT(data, '$.user.name') FROM events WHERE JSON_VALUE(data, '$.type') = 'click'
SELECT * FROM {{ ref('stg_orders') }} WHERE {{ dbt_utils.group_by(3) }}
{{#if user}} SELECT 1 {{/if}}
from(bucket: "metrics") |> range(start: -1h) |> filter(fn: (r) => r._measurement == "cpu")
MATCH (a:Person)-[:KNOWS]->(b) WHERE a.name = 'Alice' RETURN b.name LIMIT 25
FOR doc IN users FILTER doc.age >= @age SORT doc.name LIMIT 10 RETURN doc
g.V().hasLabel('person').has('name','marko').out('knows').values('name')
SigninLogs | where TimeGenerated > ago(1d) | where ResultType != "0" | project UserPrincipalName, IPAddress
source=*access.log status=404 | rex field=uri "(?<file>[^/]+)$" | top 10 file
""",
    "everyday-mongo": r"""
{"status":"A","qty":{"$lt":30}}
{"$and":[{"price":{"$ne":1.99}},{"price":{"$exists":true}}]}
{"name":{"$regex":"^§word§","$options":"i"}}
{"tags":{"$all":["red","blank"]},"size.h":{"$gte":§small§}}
{"_id":{"$oid":"§hex24§"}}
{"createdAt":{"$date":"§iso§"}}
{"$set":{"profile.name":"§name§"},"$inc":{"visits":1},"$unset":{"tmp":""}}
[{"$match":{"status":"A"}},{"$group":{"_id":"$cust_id","total":{"$sum":"$amount"}}},{"$sort":{"total":-1}}]
{"where":{"name":{"$like":"%§word§%"},"deletedAt":null},"order":[["id","DESC"]]}
{"where":{"and":[{"status":"open"},{"or":[{"priority":{"inq":[1,2]}},{"owner":{"neq":null}}]}]},"limit":10}
{"include":[{"relation":"orders","scope":{"where":{"total":{"gt":10}}}}]}
{"_and":[{"status":{"_eq":"published"}},{"author":{"name":{"_icontains":"§word§"}}}]}
{"location":{"$near":{"$geometry":{"type":"Point","coordinates":[§lat§,§lat§]},"$maxDistance":5000}}}
{"username":{"$in":["anna","ben"]},"role":{"$ne":"admin"}}
{"$text":{"$search":"\"coffee shop\" -cake"}}
{"$expr":{"$gt":["$spent","$budget"]}}
""",
    "everyday-graphql": r"""
query { user(id: "§uuid§") { ...U posts(first: 10) { edges { node { id title } } } } } fragment U on User { id name }
query Q($first: Int = 10, $after: String) { products(first: $first, after: $after, query: "tag:'on sale' AND price:>10") { nodes { id } } }
mutation { createComment(input: {body: "It's great -- isn't it? <3", postId: 5}) { comment { id } } }
query { repository(owner: "a", name: "b") { issues(filterBy: {since: "§iso§"}, labels: ["bug", "won't fix"]) { totalCount } } }
{ a: node(id: "1") { id } b: node(id: "2") { id } c: node(id: "3") { id } }
query { search(query: "repo:a/b is:pr \"drop table\"", type: ISSUE, first: 5) { issueCount } }
fragment Deep on Comment { id replies { id replies { id replies { id body author { name } } } } }
subscription OnEvent($id: ID!) { event(id: $id) { __typename ... on Added { item { id } } ... on Removed { id } } }
query { items(where: {_or: [{name: {_ilike: "%§word§%"}}, {price: {_lt: 5}}]}, order_by: {id: asc}) { id } }
query @cached(ttl: 60) { me { id name @include(if: true) email @skip(if: false) } }
""",
    "everyday-markdown": r'''
Run `npm ci && npm run build`, then open <http://localhost:3000>.
1. `cd /etc/nginx`\n2. edit `nginx.conf`\n3. `sudo systemctl restart nginx`
```bash\n#!/bin/bash\nset -euo pipefail\nfor f in *.log; do\n  gzip "$f" && echo "done $f"\ndone\n```
```sql\nSELECT * FROM users WHERE name = 'a' OR name = 'b';\n```\nWhy is this slow?
```js\nfetch('/api').then(r => r.json()).then(d => { document.title = d.title })\n```
```python\nimport os, sys\nprint(os.environ.get("HOME"))\nsubprocess.run(["ls", "-la"], check=True)\n```
```yaml\nsteps:\n  - run: |\n      curl -fsSL https://example.com/install.sh | bash\n      echo "$PATH" >> $GITHUB_PATH\n```
Use `<script src="app.js"></script>` at the end of the body.
The tag is `<img src="x.png" onerror="this.src='y.png'">` I think
You can do `cat file | grep foo | wc -l` or `awk '{print $1}' file`
| a | b |\n|---|---|\n| `x||y` | `a;b` |
- [ ] fix `../config/app.yml` path\n- [x] remove `../../legacy/index.js`
> On Monday, §name§ wrote:\n> It's "fine" -- but see #12; or don't.\n\n+1
![logo](data:image/png;base64,iVBORw0KGgo§bb60§ "it's a logo")
[link](javascript:void(0)) does not work in our wiki
<details><summary>Log</summary>\n\n```\nTypeError: x is not a function\n    at Object.<anonymous> (/app/src/index.js:10:5)\n```\n</details>
Please see §url§ and tell me what you think; thanks & bye
try `docker exec -it db psql -U postgres -c "SELECT 1"`
Does anyone know how `eval(input())` works in Python?
`$(document).ready(function() { alert("hi"); })` is jQuery
In PHP: `<?php echo htmlspecialchars($_GET['q']); ?>` is how you print it.
Try `${var:-default}` or `$(basename "$0")` in your script
We use `{{ user.name | e }}` in Jinja and `<%= name %>` in ERB.
Set `JAVA_OPTS="-Xmx2g -Dlog4j2.formatMsgNoLookups=true"`
The regex `^(?!.*\.\.)[a-z]+$` rejects `..`
a <- lm(y ~ x, data = df); summary(a)
if (a < b && c > d) { return x || y; }
Works on my machine ¯\_(ツ)_/¯; or not?
:wq! oops; wrong window
/giphy it's alive
@here deploy is done; please check https://status.example.com/?env=prod&region=eu
s/foo/bar/ sorry
''',
    "everyday-powershell": r'''
Get-ChildItem -Path C:\Logs -Filter *.log | Where-Object { $_.LastWriteTime -lt (Get-Date).AddDays(-30) } | Remove-Item
Get-Service | Where-Object {$_.Status -eq "Running"} | Sort-Object DisplayName
Set-ExecutionPolicy -Scope CurrentUser RemoteSigned
$cred = Get-Credential; Connect-ExchangeOnline -Credential $cred
Invoke-WebRequest -Uri https://example.com/setup.msi -OutFile setup.msi
To list users run Get-ADUser -Filter * -Properties mail | Export-Csv users.csv
The cmdlet Invoke-Expression runs a string; avoid it.
Use `Get-Content .\file.txt | Select-String "error"` to search.
net use Z: \\server\share /persistent:yes
ipconfig /flushdns fixes it most of the time
Open cmd and type: sfc /scannow
reg add HKCU\Software\Example /v Name /t REG_SZ /d value
''',
    "everyday-config": r'''
resource "aws_s3_bucket" "b" {\n  bucket = "${var.name}-logs"\n  tags = { Name = "it's ours" }\n}
variable "cidr" {\n  default = "10.0.0.0/16"\n}\noutput "id" { value = aws_vpc.main.id }
apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: app\n    image: nginx:1.27\n    command: ["/bin/sh", "-c", "echo hello; sleep 3600"]
version: "3"\nservices:\n  db:\n    image: postgres:16\n    environment:\n      POSTGRES_PASSWORD: ${DB_PASSWORD:-postgres}\n    healthcheck:\n      test: ["CMD-SHELL", "pg_isready -U postgres || exit 1"]
name: ci\non: [push]\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n      - run: npm ci && npm test\n        env:\n          TOKEN: ${{ secrets.TOKEN }}
server {\n  listen 80;\n  location ~ \.php$ { fastcgi_pass unix:/run/php/php-fpm.sock; include fastcgi_params; }\n}
FROM python:3.12-slim\nRUN apt-get update && apt-get install -y curl && rm -rf /var/lib/apt/lists/*\nCMD ["python", "app.py"]
[Unit]\nDescription=App\n[Service]\nExecStart=/usr/bin/app --config /etc/app/app.conf\nRestart=always
*/5 * * * * /usr/local/bin/backup.sh >> /var/log/backup.log 2>&1
RewriteEngine On\nRewriteCond %{REQUEST_FILENAME} !-f\nRewriteRule ^(.*)$ index.php?q=$1 [L,QSA]
groups:\n- name: a\n  rules:\n  - alert: Down\n    expr: up == 0\n    annotations:\n      summary: "{{ $labels.instance }} is down"
- hosts: all\n  tasks:\n    - name: install\n      apt: name={{ item }} state=present\n      loop: [git, curl]
input { beats { port => 5044 } } filter { grok { match => { "message" => "%{COMBINEDAPACHELOG}" } } }
{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*","Condition":{"StringLike":{"aws:Referer":["https://example.com/*"]}}}]}
alias ll='ls -la'\nexport PATH="$HOME/bin:$PATH"\n[ -f ~/.fzf.bash ] && source ~/.fzf.bash
<configuration><property><name>fs.defaultFS</name><value>hdfs://namenode:8020</value></property></configuration>
<?xml version="1.0" encoding="UTF-8"?>\n<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><version>${revision}</version></project>
spring.datasource.url=jdbc:mysql://localhost:3306/db?useSSL=false&allowPublicKeyRetrieval=true\nspring.datasource.username=${DB_USER:root}
pipeline { agent any; stages { stage('Build') { steps { sh 'make -j4 && make test' } } } }
''',
    "everyday-logs": r'''
203.0.113.7 - - [21/Nov/2024:10:00:00 +0000] "GET /index.php?id=1 HTTP/1.1" 200 512 "-" "Mozilla/5.0"
§iso§ ERROR [main] com.example.App - java.lang.NullPointerException: Cannot invoke "String.length()" because "s" is null
Nov 21 10:00:00 web01 sshd[1234]: Failed password for invalid user admin from 203.0.113.9 port 4242 ssh2
Nov 21 10:00:00 web01 sudo:  deploy : TTY=pts/0 ; PWD=/srv/app ; USER=root ; COMMAND=/usr/bin/systemctl restart app
panic: runtime error: index out of range [5] with length 3\n\ngoroutine 1 [running]:\nmain.main()\n\t/tmp/x.go:8 +0x1d
Traceback (most recent call last):\n  File "/app/main.py", line 3, in <module>\n    os.system(cmd)\nNameError: name 'os' is not defined
ORA-00933: SQL command not properly ended\nselect * from dual where 1=1 order by
ERROR 1064 (42000): You have an error in your SQL syntax; check the manual for the right syntax to use near ''a'' at line 1
psql: error: FATAL: password authentication failed for user "postgres"
TypeError: Cannot read properties of undefined (reading 'map')\n    at render (https://cdn.example.com/app.js?v=3:1:2345)
[error] 12#12: *345 open() "/usr/share/nginx/html/favicon.ico" failed (2: No such file or directory), client: 203.0.113.1, server: localhost, request: "GET /favicon.ico HTTP/1.1", host: "localhost"
kernel: [12.345] Out of memory: Killed process 1234 (java) total-vm:123kB
level=info ts=§iso§ caller=main.go:12 msg="it's up" addr=0.0.0.0:9090
/bin/sh: 1: foo: not found
bash: /usr/bin/python: bad interpreter: No such file or directory
Warning: include(/var/www/html/inc/header.php): failed to open stream: No such file or directory in /var/www/html/index.php on line 3
npm ERR! code ELIFECYCLE npm ERR! errno 1 npm ERR! app@1.0.0 build: `webpack --mode production && rm -rf tmp`
type=EXECVE msg=audit(§epoch§.123:456): argc=3 a0="sh" a1="-c" a2="id"
Executing: /bin/bash -c "cd /build && make all"
+ cd /build\n+ make all; echo done
''',
    "everyday-sheets": r'''
=VLOOKUP(A2,'Sheet 2'!A:C,3,FALSE)
=IF(ISERROR(B2/C2),"",B2/C2)
=SUMPRODUCT((A1:A9="x")*(B1:B9>5)*C1:C9)
=INDEX(B:B,MATCH(1,(A:A=E1)*(C:C>0),0))
=CONCATENATE(A1," & ",B1,"; ",C1)
=IMPORTRANGE("https://docs.google.com/spreadsheets/d/§bu30§","Sheet1!A1:B2")
=QUERY(A1:D,"select A, sum(B) where C = 'x' group by A order by sum(B) desc",1)
=ARRAYFORMULA(IF(A2:A="","",REGEXREPLACE(A2:A,"[^0-9]","")))
=TEXT(TODAY(),"yyyy-mm-dd")&" | "&A1
+49 30 1234567
-5% discount
@mention please
=1+1
"O'Neil, Pat","12"" disc",5,"a;b|c"
id,name,note\n1,"O'Brien","said ""hi""; left"\n2,Smith,=SUM(A1:A2)
=HYPERLINK("mailto:§email§","Mail")
=LET(x,A1,y,B1,x*y)
=LAMBDA(a,b,SQRT(a^2+b^2))(3,4)
''',
    "everyday-mail": r'''
Hi §name§,\n\nI'm attaching the file; let me know if it's OK.\n\nFrom: §email§\nTo: §email§\nSubject: Re: it's done\n\n> old text
Content-Type is wrong in my mail client, what to do?
Please unsubscribe: <mailto:§email§?subject=unsubscribe>
Return-Path: <§email§>\nReceived: from mx.example.com (mx.example.com [203.0.113.2])\n\tby in.example.net; Fri, 3 Jan 2025 09:04:22 +0000\nDKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=a;\n\tbh=§bb44§=;\nSubject: hello\nMIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n\n<p>Hi</p>
BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:§uuid§\r\nDTSTART:20250101T100000Z\r\nSUMMARY:It's lunch\\; bring food\r\nEND:VEVENT\r\nEND:VCALENDAR
BEGIN:VCARD\nVERSION:3.0\nFN:§name§\nEMAIL;TYPE=WORK:§email§\nEND:VCARD
"§name§" <§email§>, "O'Neil; Pat" <§email§>
Dear Sir/Madam,\r\nBcc: to my lawyer I keep a copy.\r\nRegards
<div dir="ltr">Hi,<br><br>See <a href="§url§" onclick="return true">here</a></div><style>p{margin:0}</style>
<a href="#" onclick="return confirm('Delete this item?')">Delete</a>
<table onmouseover="this.style.background='#eee'"><tr><td>§words§</td></tr></table>
''',
    "everyday-notebooks": r'''
{"cells":[{"cell_type":"code","execution_count":1,"metadata":{},"outputs":[],"source":["import os\n","!pip install pandas\n","%matplotlib inline\n","os.listdir('.')"]}],"metadata":{},"nbformat":4,"nbformat_minor":5}
!ls -la && cat requirements.txt
%%bash\ncd /content && wget https://example.com/data.zip && unzip -q data.zip
%%sql\nSELECT * FROM t LIMIT 5
df = pd.read_csv("../data/train.csv"); df[df["a"] > 5].groupby("b").agg({"c": "sum"})
from subprocess import run; run(["nvidia-smi"])
model.fit(x, y, epochs=5); model.save('../models/m.h5')
with open('/content/drive/My Drive/x.json') as f: data = json.load(f)
library(dplyr); df %>% filter(x > 5 | y == 'a') %>% summarise(n = n())
spark.sql("SELECT a, count(*) FROM t GROUP BY a").show()
display(HTML("<style>.container { width:100% !important; }</style>"))
''',
    "everyday-rules": r'''
(http.request.uri.path contains "/admin" and ip.src ne 203.0.113.1) or (cf.threat_score gt 14)
alert tcp any any -> $HOME_NET 80 (msg:"test"; content:"GET"; sid:1;)
request.path.matches('^/api/.*') && request.auth.claims['role'] == 'admin'
user.role == "admin" || (resource.owner == user.id && action in ["read","write"])
allow read, write: if request.auth != null && request.auth.uid == userId;
ip.addr == 192.168.1.1 && tcp.port == 443
tcp port 80 and host 10.0.0.1 and not arp
if ($request_method = POST) { return 405; }
size(input.items) > 0 && input.items.all(i, i.price > 0)
sum by (job) (rate(http_requests_total{code=~"5.."}[5m])) / sum by (job) (rate(http_requests_total[5m])) > 0.05
{namespace="prod"} |= "error" != "timeout" | json | line_format "{{.msg}}"
histogram_quantile(0.99, sum(rate(x_bucket[5m])) by (le)) > 1 or vector(0)
fields @timestamp | filter @message like /(?i)error/ | stats count() by bin(5m)
event.type == 'login' && (event.ip.startsWith('10.') || event.user.endsWith("@example.com"))
$event.body.amount > 100 ? 'high' : 'low'
={{ $json["name"].split(' ')[0] }}
{{ $node["HTTP Request"].json.data[0].id }}
{{ steps.trigger.event.body | json }}
@{triggerBody()?['name']}
@equals(variables('x'), 'it''s')
{{1.data.name}} - {{formatDate(now; "YYYY-MM-DD")}}
if(contains(1.name; "x"); "a"; "b")
^(?:https?:\/\/)?(?:www\.)?example\.com\/(?:[a-z]+|\d+)\/?$
.*\.(js|css|png)$
/^[\w.+-]+@\w+\.\w{2,}$/i
(?i)\b(union|select|insert)\b
''',
    "everyday-search": r'''
"don't stop" OR "can't stop" lyrics
how to use ' or " in bash
what's the difference between && and || in js
5" x 7" frame 'white'
c# string.Format("{0}", x) vs $"{x}"
select * from where in sql tutorial
1=1 in sql meaning
union select explained
<script> tag not loading
<br> vs <br/>
http://localhost:8080 refused to connect
file:///android_asset/ not found
127.0.0.1 vs localhost
../ vs ./ in path
/etc/hosts location windows
/etc/passwd meaning
cmd.exe opens and closes
whoami command windows
ping google.com
cat and mouse; tom & jerry
man cat
bash: ls | grep
sleep 5 hours; wake up
admin' login error
admin'-- meaning
'; 
it's 5 o'clock somewhere
"><
$1,000 or less
%20 in url
100% cotton & wool; white
(used) car < 5000 eur
50% off; free shipping
a*b=c and c/b=a
x'=y''
${{ github.sha }}
{{ site.url }}
{% raw %} jekyll
<%= link_to %>
#{} ruby
ldap filter (objectClass=*)
xpath //div[@id='a']
.htaccess redirect
wp-config.php settings
.env file example
javascript:void(0)
onclick="return false"
eval() php
system("pause")
printf("%s\n", s)
import os
__init__.py
__proto__ in js
constructor.prototype
Object.prototype.toString.call
$ne mongodb
$where
{$gt: 5}
curl -X POST
wget -r
nc -l
rm -rf /
sudo rm -rf / --no-preserve-root meme
:(){ :|:& };: explained
select
drop
null
undefined
NaN
true
-1
1e309
''',
    "everyday-mixed": r'''
union was a great select
The European Union will select 5 members from 12 countries; order by date
please select one from the list where available
I'd like to drop the table at 5 o'clock; thanks
Insert coin into the slot and update your score set by Tom
delete from my list where possible
He said "1 or 2" and left -- she didn't
and 1 = 1 is always true, isn't it?
Having 1 = first place or 2 = second place
script: a play by O'Neil -- act 1; scene 2
<3 this; alert everyone!
my email is a@b.com; call me (555) 123-4567
Order #1234 -- don't ship before 5/6; gate code *42#
50% off (today only!) & free shipping; use code SAVE-50'
I work at "Smith & Sons; Ltd." -- ask for Bob
$100 + $50 = $150 || approx. €140
exec summary: (1) sales up; (2) costs down
The system() was down; cat pictures helped
Call eval committee; import duties apply; print 3 copies
http://example.com/?q=<search term>&page=1
C:\Program Files\Example\app.exe /silent /norestart
/usr/bin/env is used in shebangs
../images/logo.png
../../docs/readme.md
file:///home/user/report.pdf
~/Documents/cv.pdf
/etc/hosts has an entry for localhost
<b>bold</b> & <i>italic</i>; <a href="https://example.com/?a=1&b=2">link</a>
<p onclick="toggle()">x</p>
<button type="button" onclick="window.print()">Print</button>
<img src="a.jpg" onload="this.width=100">
<iframe src="https://maps.google.com/maps?q=x&output=embed"></iframe>
<style>body{color:red}</style>
<svg viewBox="0 0 10 10"><path d="M0 0h10v10z"/></svg>
function add(a, b) { return a + b; }
const x = () => { alert("saved"); };
document.getElementById("a").innerHTML = "<b>x</b>";
SELECT name FROM users WHERE id = 5
select * from orders where total > 100 order by date desc limit 10
INSERT INTO t (a, b) VALUES (1, 'x');
UPDATE users SET name = 'O''Brien' WHERE id = 7;
for i in 1 2 3; do echo $i; done
ls -la | grep txt
cat file.txt | sort | uniq -c | sort -rn | head
ping 8.8.8.8
curl -s https://example.com/api | jq '.items[]'
docker run --rm -v $(pwd):/app node:20 npm test
git log --oneline | head -5
echo "hello" > out.txt
{{ user.name }} likes {{ item.title }}
${user.name}, your order ${order.id}
Hello %name%, 100%% sure?
{"a": 1, "b": [1,2,3], "c": {"d": "it's"}}
[1] "a" 'b' `c` (d) {e} <f> |g| ~h~ ^i^ @j #k $l %m &n *o +p =q ?r !s
O'Reilly's "Learning SQL; 2nd ed." (2009) -- p. 42
d'Artagnan & the 3 musketeers'
rock 'n' roll = life' or so
it's 'ok' and "fine"='good'
x=1; y=2; z=x+y
a=b&c=d&e=f
a||b&&c|d
(a or b) and not (c or d)
if 1=1 then true
1 and 2 or 3
'a'='b'
"a"="a" is true
1=1
--help
-- signature
/* comment */
# heading
// TODO: fix
<!-- comment -->
; semicolon first
| pipe first
& ampersand first
' quote first
" dquote first
` backtick first
) paren first
> quoted text
$5
@everyone
%s %d %x
\d+\w*
\\server\share
CN=John O'Neil,OU=Users,DC=example,DC=com
(&(objectClass=user)(cn=John*))
//book[@id='1']/title
SELECT
sleep
version()
user()
null
admin'
O'
'
"
test'test
test"test
<test>
test<test
1'
1"
1)
(1
a;b
a|b
a&b
a`b
a$b
!@#$%^&*()_+-={}[]|\:";'<>?,./
pa'ss"w;o|r&d
Tr0ub4dor&3' OR
Robert'); 
Bobby Tables'); DROP
Waiter, there's a fly in my soup; please delete it from the menu!
My cat /dog/ sleeps 10 hours
the path is /var/log and the file is messages
{7*7} matrix
{{7}}
${price}
#{5}
<%= x %>
@user @(group)
(sic) [sic] {sic} <sic>
Math.max(...[1,2])
console.log('x')
print("hi")
System.out.println("hi");
import java.util.List;
#include <stdio.h>
<?xml version="1.0"?><a/>
<!DOCTYPE html><html><body>hi</body></html>
<?php echo "hi"; ?>
127.0.0.1
localhost:3000
http://localhost:3000/
http://192.168.1.1/
ftp://example.com/a
data:image/gif;base64,R0lGODlhAQABAAAAACw=
javascript:void(0)
mailto:a@b.c?subject=Hi&body=x
tel:+491234
file.php
shell.php?
index.php?id=1
wp-admin
.htaccess
passwd
root
admin
cmd.exe
powershell
bash
''',
    "everyday-urls": r'''
https://login.example.com/oauth2/authorize?client_id=§uuid§&redirect_uri=E⟦https://app.example.com/cb?next=E⟦/a?b=c&d=e⟧⟧&response_type=code&scope=openid%20profile
/login?next=E⟦/search?q=E⟦it's "quoted" & more⟧⟧
https://idp.example.com/sso?SAMLRequest=E⟦§bb200§⟧&RelayState=E⟦https://sp.example.com/?a=E⟦https://c.example.com/⟧⟧
https://click.example.com/t?u=E⟦https://r.example.com/?u=E⟦https://www.example.com/?utm_source=a&utm_medium=b⟧⟧
https://b.s3.amazonaws.com/a%20b.pdf?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA§upper16§%2F20250101%2Feu-west-1%2Fs3%2Faws4_request&X-Amz-Date=20250101T000000Z&X-Amz-Expires=900&X-Amz-Signature=§hex64§&X-Amz-SignedHeaders=host&response-content-disposition=E⟦attachment; filename="it's.pdf"⟧
https://x.blob.core.windows.net/c/f.png?sv=2022-11-02&st=§iso§&se=§iso§&sr=b&sp=r&sig=E⟦§bb43§=⟧
https://maps.example.com/maps?q=E⟦48°51'24.1"N 2°21'03.0"E⟧
http://localhost:3000/callback?code=§bu30§&state=§hex16§
http://192.168.1.20:8123/api/webhook/§hex32§
http://127.0.0.1:8888/lab?token=§hex48§
ws://localhost:5173/
myapp://auth/callback?token=§bu40§
intent://scan/#Intent;scheme=zxing;package=com.example;end
mailto:§email§?subject=E⟦it's me⟧&body=E⟦a\n\nb⟧
magnet:?xt=urn:btih:§hex40§&dn=E⟦a b.iso⟧&tr=E⟦udp://tracker.example.org:6969/announce⟧
postgres://user:pa$$w0rd@db.internal:5432/app?sslmode=require
redis://:p%40ss@10.0.0.9:6379/0
mongodb+srv://u:p@cluster0.example.mongodb.net/test?retryWrites=true&w=majority
amqp://guest:guest@localhost:5672/%2F
git@github.com:example/app.git
ssh://git@example.com:2222/a/b.git
ftp://ftp.example.org/pub/README
ldap://ldap.example.com/dc=example,dc=com
jdbc:oracle:thin:@//db.example.com:1521/XE
sftp://user@host/upload/
chrome-extension://§low32§/popup.html
blob:https://app.example.com/§uuid§
about:blank
view-source:https://example.com/
data:text/plain,hello%20world
urn:uuid:§uuid§
''',
}


def values(filler, text):
    """One for each line; `\\n` in it is a line break. Templates give several."""
    for line in text.strip("\n").split("\n"):
        for _ in range(3 if "§" in line else 1):
            yield filler(line).replace("\\r\\n", "\r\n").replace("\\n", "\n").replace("\\t", "\t")


def classes(root, seeded):
    for name, text in VALUES.items():
        yield name, values(fill.Fill(seeded(name), root), text), 1_000
