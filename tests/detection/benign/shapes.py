"""Templates of what browsers and programs send by themselves: cookies, addresses of beacons and interfaces.

Written from the public documentation of the products and from what their clients are seen to send. The language of the
templates is in fill.py.
"""

COOKIES = """
_ga=GA1.2.§dig9§.§epoch§
_ga_§upper10§=GS1.1.§epoch§.§small§.1.§epoch§.60.0.0
_ga_§upper10§=GS2.1.s§epoch§$o3$g1$t§epoch§$j52$l0$h§dig9§
_gid=GA1.2.§dig9§.§epoch§
_gcl_au=1.1.§dig9§.§epoch§
_gcl_aw=GCL.§epoch§.§bu60§
_fbp=fb.1.§ms§.§dig9§
_fbc=fb.1.§ms§.§bu40§
__gads=ID=§hex16§:T=§epoch§:RT=§epoch§:S=ALNI_§bu24§
__gpi=UID=0000§hex12§:T=§epoch§:RT=§epoch§:S=ALNI_§bu24§
__eoi=ID=§hex16§:T=§epoch§:RT=§epoch§:S=AA-AfjY§bu12§
FCNEC=E⟦[["AKsRol§bu60§=="],null,[]]⟧
FCCDCF=E⟦[null,null,null,["§bu60§",null,"§dig4§","2~70.89.93.108.122.149.196.2253~dv.","§uuid§"],null,null]⟧
_clck=§low7§|2|§low3§|0|§dig4§
_clsk=§low7§|§ms§|3|1|y.clarity.ms/collect
_hjSessionUser_§dig7§=B⟦{"id":"§uuid§","created":§ms§,"existing":true}⟧
_hjSession_§dig7§=B⟦{"id":"§uuid§","c":§ms§,"s":0,"r":0,"sb":0,"sr":0,"se":0,"fs":1,"sp":0}⟧
_pk_id.§small§.§hex4§=§hex16§.§epoch§.
_pk_ref.1.§hex4§=E⟦["","",§epoch§,"https://www.google.com/"]⟧
_pk_cvar.1.§hex4§=E⟦{"1":["user","guest"],"2":["§word§","§words§"]}⟧
__utma=§dig9§.§dig9§.§epoch§.§epoch§.§epoch§.§small§
__utmz=§dig9§.§epoch§.1.1.utmcsr=google|utmccn=(organic)|utmcmd=organic|utmctr=(not%20provided)
__utmz=§dig9§.§epoch§.4.3.utmcsr=§word§.com|utmccn=(referral)|utmcmd=referral|utmcct=§path§
__utmv=§dig9§.|1=User%20Type=Member=1^2=§word§=§word§=1
__cf_bm=§bu32§-§epoch§-1.0.1.1-§bu80§
cf_clearance=§bu32§-§epoch§-1.2.1.1-§bu160§
_cfuvid=§bu32§-§ms§-0.0.1.1-604800000
datadome=§bu90§~§bu40§_§bu30§
_abck=§hex32§~-1~YAAQ§bb30§+AQAA§bb120§~-1~||0||~-1
_abck=§hex32§~0~YAAQ§bb24§/§bb180§~-1~-1~-1
ak_bmsc=§hex32§~000000000000000000000000000000~YAAQ§bb150§
bm_sz=§hex32§~YAAQ§bb100§=~§dig7§~§dig7§
bm_sv=§hex32§~YAAQ§bb80§~1
_px3=§hex64§:§bb90§:1000:§bb120§
_pxvid=§uuid§
_pxhd=§bu40§:§uuid§
reese84=3:§bb16§:§bb260§:§bb32§
visid_incap_§dig7§=§bb50§
incap_ses_§dig3§_§dig7§=§bb40§
nlbi_§dig7§=§bb30§
TS01§hex6§=01§hex90§
AWSALB=§bb90§
AWSALBCORS=§bb90§
AWSALBTG=§bb110§
aws-waf-token=§uuid§:§bb30§:§bb90§
JSESSIONID=§hex32§.node§small§
JSESSIONID="§hex32§!-§dig9§!§dig9§"
PHPSESSID=§low26§
ASP.NET_SessionId=§low24§
.ASPXAUTH=§hex200§
.AspNetCore.Antiforgery.§bu8§=CfDJ8§bu130§
.AspNetCore.Session=E⟦CfDJ8§bb120§⟧
.AspNetCore.Culture=c%3Dde-DE%7Cuic%3Dde-DE
connect.sid=s%3A§bu24§.E⟦§bb32§⟧
laravel_session=E⟦B⟦{"iv":"§bb16§","value":"§bb120§","mac":"§hex64§","tag":""}⟧⟧
XSRF-TOKEN=E⟦B⟦{"iv":"§bb16§","value":"§bb90§","mac":"§hex64§","tag":""}⟧⟧
_myapp_session=E⟦§bb200§⟧--E⟦§bb16§⟧--E⟦§bb16§⟧
sessionid=§low32§
csrftoken=§an64§
session=.eJ§bu90§.§bu6§.§bu27§
session=eyJ§bu60§
wordpress_logged_in_§hex32§=§word§%7C§epoch§%7C§an43§%7C§hex64§
wp-settings-1=libraryContent%3Dbrowse%26editor%3Dtinymce%26hidetb%3D1%26mfold%3Do%26post_dfw%3Doff
wp-settings-time-1=§epoch§
comment_author_§hex32§=E⟦§name§⟧
comment_author_email_§hex32§=E⟦§email§⟧
woocommerce_cart_hash=§hex32§
wp_woocommerce_session_§hex32§=E⟦t_§hex30§||§epoch§||§epoch§||§hex32§⟧
sbjs_first=E⟦typ=organic|||src=google|||mdm=organic|||cmp=(none)|||cnt=(none)|||trm=(none)|||id=(none)|||plt=(none)⟧
sbjs_current_add=E⟦fd=2025-01-03 10:00:00|||ep=§url§|||rf=https://www.google.com/⟧
sbjs_udata=E⟦vst=2|||uip=(none)|||uag=§agent§⟧
tk_ai=woo:§bu18§
hubspotutk=§hex32§
__hstc=§dig8§.§hex32§.§ms§.§ms§.§ms§.§small§
__hssc=§dig8§.1.§ms§
intercom-session-§low8§=§bb90§--§bb16§
ajs_user_id="§dig6§"
ajs_anonymous_id=E⟦"§uuid§"⟧
mp_§hex32§_mixpanel=E⟦{"distinct_id": "§uuid§","$device_id": "§uuid§","$initial_referrer": "$direct","$initial_referring_domain": "$direct","__mps": {},"__mpso": {},"__mpus": {},"__mpa": {},"__mpu": {},"__mpr": [],"__mpap": [],"utm_source": "§word§"}⟧
ph_phc_§an40§_posthog=E⟦{"distinct_id":"§uuid§","$sesid":[§ms§,"§uuid§",§ms§],"$epp":true,"$initial_person_info":{"r":"$direct","u":"§url§"}}⟧
amplitude_id_§hex32§example.com=B⟦{"deviceId":"§uuid§R","userId":null,"optOut":false,"sessionId":§ms§,"lastEventTime":§ms§,"eventId":12,"identifyId":3,"sequenceNumber":15}⟧
AMP_§hex10§=B⟦E⟦{"deviceId":"§uuid§","userId":"§dig6§","sessionId":§ms§,"optOut":false}⟧⟧
optimizelyEndUserId=oeu§ms§r§frac§
optimizelyBuckets=E⟦{"§dig11§":"§dig11§","§dig11§":"§dig11§"}⟧
optimizelySegments=E⟦{"§dig9§":"gc","§dig9§":"false","§dig9§":"search"}⟧
_vwo_uuid_v2=D§hex32§|§hex32§
_vis_opt_test_cookie=1
_vwo_ds=3%3At_0%2Ca_0%3A0%24§epoch§%3A72.§dig8§%3A%3A%3A%3A§small§
AMCV_§upper24§%40AdobeOrg=E⟦1176715910|MCIDTS|§dig5§|MCMID|§dig38§|MCAAMLH-§epoch§|6|MCAAMB-§epoch§|§bu40§|MCOPTOUT-§epoch§s|NONE|vVersion|5.4.0⟧
s_cc=true
s_sq=E⟦examplecom=%26c.%26a.%26activitymap.%26page%3D§word§%26link%3D§words§%26region%3D§word§%26pageIDType%3D1%26.activitymap%26.a%26.c⟧
s_ppv=E⟦§url§,44,44,937,1920,937,1920,1080,1,P⟧
s_nr30=§ms§-Repeat
mbox=session#§hex32§#§epoch§|PC#§hex32§.37_0#§epoch§
utag_main=v_id:§hex32§$_sn:§small§$_se:§small§%3Bexp-session$_ss:0%3Bexp-session$_st:§ms§%3Bexp-session$ses_id:§ms§%3Bexp-session$_pn:3%3Bexp-session$dc_visit:1
CONSENTMGR=c1:1%7Cc2:1%7Cc3:0%7Cc4:1%7Cts:§ms§%7Cconsent:true
OptanonConsent=isGpcEnabled=0&datestamp=P⟦Fri Jan 03 2025 10:04:22 GMT+0100 (Central European Standard Time)⟧&version=202405.1.0&browserGpcFlag=0&isIABGlobal=false&hosts=&consentId=§uuid§&interactionCount=1&landingPath=NotLandingPage&groups=C0001%3A1%2CC0002%3A0%2CC0003%3A0%2CC0004%3A0&geolocation=DE%3BBE&AwaitingReconsent=false
OptanonAlertBoxClosed=§iso§
eupubconsent-v2=CP§bu90§.§bu30§.§bu16§
euconsent-v2=CP§bu120§.YAAAAAAAAAAA
CookieConsent={stamp:%27§bb30§=%27%2Cnecessary:true%2Cpreferences:true%2Cstatistics:false%2Cmarketing:false%2Cmethod:%27explicit%27%2Cver:1%2Cutc:§ms§%2Cregion:%27de%27}
cookieyes-consent=consentid:§bu24§,consent:yes,action:yes,necessary:yes,functional:yes,analytics:no,performance:no,advertisement:no,other:no
cmplz_consented_services=E⟦{"google-analytics":true,"youtube":false}⟧
borlabs-cookie=E⟦{"consents":{"essential":["borlabs-cookie"],"statistics":["google-analytics"]},"domainPath":"§host§/","expires":"Sat, 03 Jan 2026 09:04:22 GMT","uid":"§low8§-§low8§","version":"1"}⟧
usercentrics=E⟦{"gcm":{"adsDataRedaction":true},"services":[{"history":[{"action":"onAcceptAllServices","language":"de","status":true,"timestamp":§ms§}],"id":"§bu8§"}]}⟧
cookielawinfo-checkbox-analytics=yes
viewed_cookie_policy=yes
notice_gdpr_prefs=0,1,2:
TAconsentID=§uuid§
_tt_enable_cookie=1
_ttp=§bu20§.tt.1
_uetsid=§hex32§
_uetvid=§hex32§
_pin_unauth=§bb40§
_scid=§uuid§
_rdt_uuid=§ms§.§uuid§
cto_bundle=§bu150§
criteo_write_test=§an8§
_lr_env_src_ats=false
panoramaId_expiry=§ms§
cto_bidid=§bu80§
_cc_id=§hex32§
__qca=P0-§dig10§-§ms§
_awl=2.§epoch§.5-§hex32§-6763652d6575726f70652d7765737431-0
_sp_id.§hex4§=§uuid§.§epoch§.2.§epoch§.§epoch§.§uuid§..§uuid§.§ms§.1
_sp_su=false
permutive-id=§uuid§
_cb=§an16§
_chartbeat2=.§ms§.§ms§.1.§an24§.1
_cb_svref=https%3A%2F%2Fwww.google.com%2F
_parsely_visitor={%22id%22:%22pid=§uuid§%22%2C%22session_count%22:2%2C%22last_session_ts%22:§ms§}
bounceClientVisit§dig4§=N4Igg§lz120§
bounceClientVisit§dig4§v=N4Ig§lz90§
dtCookie=v_4_srv_§small§_sn_§upper32§_perc_100000_ol_0_mul_1_app-3A§hex16§_1
dtPC=§small§$§dig9§_§dig3§h-vUP§upper28§-0e0
rxVisitor=§ms§§upper32§
rxvt=§ms§|§ms§
newrelic_session=E⟦{"value":"§hex16§","inactiveAt":§ms§,"expiresAt":§ms§,"updatedAt":§ms§}⟧
_dd_s=rum=2&id=§uuid§&created=§ms§&expire=§ms§
_dd_s=aid=§uuid§&rum=0&expire=§ms§&logs=1&id=§uuid§&created=§ms§
sentry-sc=§an22§
_shopify_y=§uuid§
_shopify_s=§uuid§
cart=Z2NwLWV1cm9wZS13ZXN0§bb30§?key=§hex32§
cart_currency=EUR
localization=DE
secure_customer_sig=§hex40§
keep_alive=eyJ2IjoyLCJ0cyI6§bb30§
mage-cache-storage={}
mage-messages=E⟦[{"type":"success","text":"You added §words§ to your <a href=\\"§url§\\">shopping cart</a>."}]⟧
section_data_ids=E⟦{"cart":§epoch§,"customer":§epoch§,"wishlist":§epoch§,"messages":null,"recently_viewed_product":§epoch§}⟧
form_key=§an16§
private_content_version=§hex32§
PrestaShop-§hex32§=def50200§hex300§
sw-context-token=§an32§
dwsid=§bu48§
dwanonymous_§hex32§=§an28§
dw_dnt=0
cqcid=ab§an26§
WC_SESSION_ESTABLISHED=true
WC_PERSISTENT=E⟦§bb30§;2025-01-03 10:04:22.12_§ms§-§dig5§_10001_-1002,-3,EUR⟧
WC_USERACTIVITY_-1002=E⟦-1002,10001,null,null,null,null,null,null,null,null,§dig9§,ver_null,§bb60§⟧
anonymous-consents=E⟦[{"templateCode":"PERSONALIZATION","templateVersion":0,"consentState":null}]⟧
session-id=§dig3§-§dig7§-§dig7§
session-token="§bb150§=="
ubid-acbde=§dig3§-§dig7§-§dig7§
csm-hit=tb:§upper20§+s-§upper20§|§ms§&t:§ms§&adb:adblk_no
i18n-prefs=EUR
sp-cdn="L5Z9:DE"
at-acbde=Atza|§bu160§
x-acbde="§bb40§@§an20§?§bb12§"
SID=g.a000§bu70§
__Secure-3PSIDCC=AKEyXz§bu50§
NID=5§dig2§=§bu170§
SOCS=CAES§bu30§
CONSENT=YES+cb.20210328-17-p0.de+FX+§dig3§
AEC=AV§bu40§
1P_JAR=2025-01-03-10
SEARCH_SAMESITE=CgQI§bu8§
DV=§bu20§
YSC=§bu9§
VISITOR_INFO1_LIVE=§bu9§
PREF=f6=40000000&tz=Europe.Berlin&f7=100&f4=4000000
ANID=§bu40§
datr=§bu18§
c_user=§dig15§
xs=§dig2§%3A§bu12§%3A2%3A§epoch§%3A-1%3A§dig4§%3A%3A§bu50§
fr=0§bu16§.AW§bu24§.Bn§bu4§..AAA.0.0.Bn§bu4§.AW§bu9§
presence=E⟦C{"t3":[],"utc3":§ms§,"v":1}⟧
wd=1920x937
guest_id=v1%3A§dig18§
personalization_id="v1_§bb16§=="
ct0=§hex160§
gt=§dig19§
li_gc=MTs§bb40§
lidc="b=VGST04:s=V:r=V:a=V:p=V:g=§dig4§:u=1:x=1:i=§epoch§:t=§epoch§:v=2:sig=AQ§bu24§"
bcookie="v=2&§uuid§"
bscookie="v=1&§iso§§uuid§AQ§bu24§"
UserMatchHistory=AQ§bu100§
MUID=§upper32§
_EDGE_S=F=1&SID=§upper32§
SRCHD=AF=NOFORM
SRCHUSR=DOB=20250103&T=§ms§
SRCHHPGUSR=SRCHLANG=de&BRW=XW&BRH=M&CW=1920&CH=937&SCW=1903&SCH=2500&DPR=1.0&UTC=60&DM=0&HV=§epoch§&WTS=§dig11§&PRVCW=1920&PRVCH=937
_RwBf=r=0&ilt=1&ihpd=0&ispd=1&rc=0&rb=0&gb=0&rg=200&pc=0&mtu=0&rbb=0&g=0&cid=&clo=0&v=1&l=2025-01-03T08:00:00.0000000Z&lft=0001-01-01T00:00:00.0000000&aof=0&ard=0001-01-01T00:00:00.0000000&o=0&p=&c=&t=0&s=0001-01-01T00:00:00.0000000+00:00&ts=§iso§&rwred=0
MSFPC=GUID=§hex32§&HASH=§hex4§&LV=202501&V=4&LU=§ms§
ESTSAUTHPERSISTENT=1.A§bu250§
buid=0.A§bu160§
fpc=A§bu30§
stsservicecookie=estsfd
OIDCAuthCookie=§bb200§
WLSSC=EgA§bb120§
_gh_sess=E⟦§bb300§⟧--E⟦§bb16§⟧--E⟦§bb22§⟧
tz=Europe%2FBerlin
color_mode=E⟦{"color_mode":"auto","light_theme":{"name":"light","color_mode":"light"},"dark_theme":{"name":"dark","color_mode":"dark"}}⟧
isg=B§bu80§
tfstk=f§bu300§
_m_h5_tk=§hex32§_§ms§
BAIDUID=§upper32§:FG=1
Hm_lvt_§hex32§=§epoch§,§epoch§,§epoch§
SINAGLOBAL=§dig13§.§dig4§.§ms§
yandexuid=§dig19§
_ym_uid=§dig19§
_ym_d=§epoch§
i=§bb60§
yabs-sid=§dig15§
spravka=dD0x§bb150§
VID=§bu30§
NNB=§upper13§
nid_inf=§dig9§
_naver_usersession_=§bb16§
last_visited=E⟦["/§slug§","/§slug§?id=§int§"]⟧
recently_viewed=§dig6§,§dig6§,§dig6§
filters=E⟦{"price":{"min":§small§,"max":§int§},"brand":["§word§","§name§"],"inStock":true}⟧
user=E⟦{"id":§int§,"name":"§name§","email":"§email§","roles":["user"],"lastLogin":"§iso§"}⟧
prefs=a%3A3%3A%7Bs%3A5%3A%22theme%22%3Bs%3A4%3A%22dark%22%3Bs%3A4%3A%22lang%22%3Bs%3A2%3A%22de%22%3Bs%3A4%3A%22page%22%3Bi%3A20%3B%7D
phpbb3_§low5§_track=a%3A1%3A%7Bs%3A1%3A%22t%22%3Ba%3A1%3A%7Bi%3A§small§%3Bs%3A8%3A%22§low8§%22%3B%7D%7D
ci_session=E⟦a:5:{s:10:"session_id";s:32:"§hex32§";s:10:"ip_address";s:9:"10.0.0.12";s:10:"user_agent";s:50:"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWeb";s:13:"last_activity";i:§epoch§;s:9:"user_data";s:0:"";}⟧§hex32§
location=E⟦{"lat":§lat§,"lng":§lat§,"city":"§words§","zip":"§dig5§"}⟧
redirect_after_login=E⟦§url§⟧
returnUrl=E⟦§url§⟧
flash=E⟦{"notice":"§sentence§"}⟧
search_history=E⟦["§words§","§words§","§name§"]⟧
theme=dark
timezone=America/Argentina/Buenos_Aires
ab_test={"exp_1":"B","exp_2":"control"}
cart_items=[{"sku":"§upper8§","qty":2,"price":"§price§"}]
LOCALE_PREF=de_DE|EUR|§screen§
sp_landing=E⟦§url§⟧
access_token=§jwt§
id_token=§jwt§
state.§bu12§=E⟦B⟦{"redirect":"§url§","nonce":"§bu16§"}⟧⟧
g_state={"i_l":0,"i_t":§ms§}
G_ENABLED_IDPS=google
usprivacy=1YNN
notice_behavior=expressed,eu
""".strip("\n").split("\n")

ADDRESSES = """
/g/collect?v=2&tid=G-§upper10§&gtm=45je4bk0v§dig9§za200&_p=§ms§&gcd=13l3l3l3l1l1&npa=0&dma=1&tag_exp=§dig9§~§dig9§&cid=§dig9§.§epoch§&ul=de-de&sr=§screen§&uaa=x86&uab=64&uafvl=Google%2520Chrome%3B131.0.6778.86%7CChromium%3B131.0.6778.86%7CNot_A%2520Brand%3B24.0.0.0&uamb=0&uam=&uap=Windows&uapv=15.0.0&uaw=0&are=1&pae=1&frm=0&pscdl=noapi&_s=1&sid=§epoch§&sct=2&seg=1&dl=E⟦§url§⟧&dr=E⟦§url§⟧&dt=E⟦§title§⟧&en=page_view&ep.content_group=E⟦§words§⟧&epn.value=§float§&up.user_type=guest&tfd=§dig4§
/collect?v=1&_v=j101&a=§dig9§&t=pageview&_s=1&dl=E⟦§url§⟧&ul=en-us&de=UTF-8&dt=E⟦§title§⟧&sd=24-bit&sr=§screen§&vp=1903x937&je=0&_u=YEBAAEABAAAAACAAI~&jid=§dig9§&gjid=§dig9§&cid=§dig9§.§epoch§&tid=UA-§dig8§-1&_gid=§dig9§.§epoch§&cd1=E⟦§words§⟧&z=§dig9§
/tr/?id=§dig15§&ev=ViewContent&dl=E⟦§url§⟧&rl=E⟦§url§⟧&if=false&ts=§ms§&cd[content_name]=E⟦§words§⟧&cd[content_ids]=E⟦["§dig6§","§dig6§"]⟧&cd[value]=§float§&cd[currency]=EUR&sw=1920&sh=1080&v=2.9.176&r=stable&ec=1&o=4126&fbp=fb.1.§ms§.§dig9§&cs_est=true&ler=empty&cdl=API_unavailable&it=§ms§&coo=false&rqm=GET
/matomo.php?action_name=E⟦§title§⟧&idsite=§small§&rec=1&r=§dig6§&h=10&m=4&s=22&url=E⟦§url§⟧&urlref=E⟦§url§⟧&_id=§hex16§&_idn=0&send_image=0&_refts=§epoch§&pv_id=§an6§&pf_net=0&pf_srv=§small§&pdf=1&qt=0&realp=0&wma=0&fla=0&java=0&ag=0&cookie=1&res=§screen§&cvar=E⟦{"1":["§word§","§words§"]}⟧
/b/ss/examplecom/1/JS-2.22.4/s§dig14§?AQB=1&ndh=1&pf=1&t=3%2F0%2F2025%2010%3A4%3A22%205%20-60&fid=§upper16§-§upper16§&ce=UTF-8&pageName=E⟦§word§:§word§:§words§⟧&g=E⟦§url§⟧&c.&a.&activitymap.&page=E⟦§words§⟧&link=E⟦§words§⟧&region=§word§&.activitymap&.a&getPreviousPageName=n%2Fa&.c&cc=EUR&ch=§word§&server=§host§&events=event1%2Cevent12%3D1&products=E⟦;§dig6§;1;§float§;;eVar1=§word§⟧&v1=D%3Dc1&c12=D%3Dv12%2B%22%3A%22%2Bv3&v34=D%3DUser-Agent&s=§screen§&c=24&j=1.6&v=N&k=Y&bw=1920&bh=937&mcorgid=§upper24§%40AdobeOrg&AQE=1
/id?d_visid_ver=5.5.0&d_fieldgroup=MC&d_rtbd=json&d_ver=2&d_verify=1&d_orgid=§upper24§%40AdobeOrg&d_nsid=0&ts=§ms§&d_cid_ic=§word§%01§dig6§%011
/pagead/viewthroughconversion/§dig9§/?random=§ms§&cv=11&fst=§ms§&bg=ffffff&guid=ON&async=1&gtm=45be4bk0z8§dig9§za201&u_w=1920&u_h=1080&url=E⟦§url§⟧&ref=E⟦§url§⟧&hn=www.googleadservices.com&frm=0&tiba=E⟦§title§⟧&npa=0&pscdl=noapi&auid=§dig9§.§epoch§&fledge=1&data=E⟦event=gtag.config⟧&rfmt=3&fmt=4
/gampad/ads?pvsid=§dig16§&correlator=§dig16§&eid=§dig8§%2C§dig8§&output=ldjh&gdfp_req=1&vrg=2024112001&ptt=17&impl=fifs&gdpr=1&gdpr_consent=CP§bu90§.§bu30§&addtl_consent=1~43.46.55.61.70.83.89&iu_parts=§dig8§%2C§word§%2C§word§&enc_prev_ius=%2F0%2F1%2F2&prev_iu_szs=300x250%7C728x90&ists=1&fluid=height&sfv=1-0-40&prev_scp=E⟦pos=top&hb_bidder=rubicon&hb_pb=0.50&hb_size=300x250|pos=§word§&slot=§int§⟧&cust_params=E⟦url=§path§&tags=§word§,§word§&kw=P⟦§words§⟧&env=prod⟧&cookie=ID%3D§hex16§%3AT%3D§epoch§%3ART%3D§epoch§%3AS%3DALNI_§bu24§&abxe=1&dt=§ms§&lmt=§epoch§&adxs=310%2C-9&adys=120%2C-9&biw=1903&bih=937&scr_x=0&scr_y=0&btvi=0%7C-1&ucis=1%7C2&oid=2&u_his=2&u_h=1080&u_w=1920&u_cd=24&dmc=8&bc=31&nvt=1&uach=E⟦["Windows","15.0.0","x86","","131.0.6778.86",null,0,null,"64",[["Google Chrome","131.0.6778.86"],["Not_A Brand","24.0.0.0"]],0]⟧&url=E⟦§url§⟧&ref=E⟦§url§⟧&vis=1&psz=1903x90%7C1x1&msz=1903x90&fws=4%2C2&ohw=1903
/complete/search?q=P⟦§words§⟧&cp=§small§&client=gws-wiz-serp&xssi=t&gs_pcrt=2&hl=de&authuser=0&pq=P⟦§words§⟧&psi=§bu22§.§ms§&dpr=1&ofp=§bu24§
/search?q=P⟦§words§⟧&rlz=1C1GCEU_deDE§dig4§&oq=P⟦§words§⟧&gs_lcrp=§bu90§&sourceid=chrome&ie=UTF-8
/search?q=P⟦"§words§" -§word§ site:example.com⟧&sca_esv=§hex16§&ei=§bu22§&ved=0ahUKEwi§bu30§&uact=5&sclient=gws-wiz-serp
/url?sa=t&source=web&rct=j&opi=§dig8§&url=§url§&ved=2ahUKEw§bu30§&usg=AOvVaw§bu18§
/s?k=P⟦§words§⟧&i=stripbooks&crid=§upper13§&sprefix=P⟦§words§⟧%2Cstripbooks%2C107&ref=nb_sb_noss_1
/dp/B0§upper8§/ref=sr_1_3?crid=§upper13§&dib=eyJ2IjoiMSJ9.§bu120§.§bu40§&dib_tag=se&keywords=P⟦§words§⟧&qid=§epoch§&sr=8-3&th=1&psc=1
/sch/i.html?_nkw=P⟦§words§⟧&_sacat=0&_from=R40&rt=nc&LH_ItemCondition=3000%7C1000&_udlo=10&_udhi=50
/watch/§dig8§/1?wmode=7&page-url=E⟦§url§⟧&page-ref=E⟦§url§⟧&charset=utf-8&uah=chu%0AE⟦"Google Chrome";v="131","Chromium";v="131"⟧&browser-info=pv%3A1%3Avf%3A§low20§%3Afu%3A0%3Aen%3Autf-8%3Ala%3Ade-DE%3Av%3A1414%3Acn%3A1%3Adp%3A0%3Als%3A§dig13§%3Ahid%3A§dig9§%3Az%3A60%3Ai%3A20250103100422%3Aet%3A§epoch§%3Ac%3A1%3Arn%3A§dig9§%3Arqn%3A3%3Au%3A§dig19§%3Aw%3A1903x937%3As%3A1920x1080x24%3Ask%3A1%3Aco%3A0%3Acpf%3A1%3Ans%3A§ms§%3Arqnl%3A1%3Ast%3A§epoch§%3At%3AE⟦§title§⟧&t=gdpr(14)clc(0-0-0)rqnt(3)aw(1)rcm(1)cdl(na)eco(§dig8§)ti(2)
/§dig15§/wt?p=624,§word§.§word§,1,§screen§,24,1,§ms§,0,1903x937,0&tz=1&eid=§dig19§&one=0&fns=0&la=de&cg1=E⟦§words§⟧&cp5=E⟦§name§⟧&pu=E⟦§url§⟧&eor=1
/ping?h=example.com&p=E⟦§path§⟧&u=§an16§&d=example.com&g=§dig5§&g0=§word§%2C§word§&g1=E⟦§name§⟧&n=1&f=00001&c=0.§dig2§&x=0&m=0&y=6332&o=1903&w=937&j=45&R=1&W=0&I=0&E=0&e=0&r=E⟦§url§⟧&b=1234&t=§bu12§&V=143&i=E⟦§title§⟧&tz=-60&sn=1&sv=§bu16§&sd=1&im=067b2ff2&_
/event?a=§dig5§&v=5.28.0&otl=1&p0=e%3Dexd%26site_type%3Dd&p1=e%3Dvp%26p%3D§dig6§&p2=e%3Ddis&adce=1&bundle=§bu120§&tld=example.com&dy=1&fu=E⟦§url§⟧&ceid=§uuid§&dtycbr=§dig4§
/1/§hex10§?a=§dig9§&v=1.274.0&to=§bb24§&rst=§dig4§&ck=0&s=§hex16§&ref=§url§&ptid=§hex16§&af=err,spa,xhr,stn,ins&be=§dig3§&fe=§dig4§&dc=§dig4§&perf=E⟦{"timing":{"of":§ms§,"n":0,"f":2,"dn":3,"dne":4,"c":4,"s":5,"ce":30,"rq":31,"rp":120,"rpe":130,"di":400},"navigation":{}}⟧&fp=§dig3§&fcp=§dig3§&jsonp=NREUM.setToken
/rec/page?OrgId=§upper5§&UserId=§uuid§&Url=E⟦§url§⟧&ScreenWidth=1920&PreviewMode=false
/c.gif?CtsSyncId=§upper32§&RedC=c.clarity.ms&MXFR=§upper32§
/sync?ssp=§word§&gdpr=1&gdpr_consent=${GDPR_CONSENT_§dig3§}&us_privacy=${US_PRIVACY}&redir=E⟦https://§host§/setuid?bidder=§word§&gdpr=${GDPR}&uid=$UID⟧
/win?price=${AUCTION_PRICE}&id=§uuid§&crid=§dig6§&cur=${AUCTION_CURRENCY}&loss=${AUCTION_LOSS}
/vast?cb=[CACHEBUSTING]&error=[ERRORCODE]&pos=[CONTENTPLAYHEAD]&w=640&h=360&page=[PAGEURL]&ua=%%USER_AGENT%%&click=%%CLICK_URL_ESC%%E⟦§url§⟧
/click;h=v8/§hex4§/0/0/%2a/b;§dig9§;0-0;0;§dig8§;4307-300/250;§dig8§/§dig8§/1;;~aopt=2/1/§hex2§/0;~sscs=%3f§url§
/activity;src=§dig7§;type=§low5§0;cat=§low8§;ord=1;num=§dig13§;npa=0;auiddc=§dig9§.§epoch§;u1=E⟦§words§⟧;u2=§dig6§;ps=1;pcor=§dig9§;uaa=x86;gtm=45fe4bk0;dma=1;epver=2;~oref=E⟦§url§⟧?
/pixel?google_nid=§word§&google_cm&google_hm=§bu20§&google_redir=E⟦https://§host§/match?p=E⟦§url§⟧⟧
/rb?tg_i.pbadslot=%2F§dig8§%2F§word§&rf=E⟦§url§⟧&kw=rp.fastlane&p_screen_res=1920x1080&x_source.tid=§uuid§&rp_schain=1.0,1!example.com,§dig4§,1,,,&eid_pubcid.org=§uuid§%5E1&tk_flint=pbjs_lite_v8.52.0
/prebid/1?s=1&e=§bu40§&l=E⟦{"adUnits":[{"code":"div-gpt-ad-§dig13§-0","bids":[{"bidder":"ix","params":{"siteId":"§dig6§","size":[300,250]}}]}]}⟧
/i?e=pv&url=E⟦§url§⟧&page=E⟦§title§⟧&tv=js-3.24.0&tna=sp&aid=web&p=web&cookie=1&cs=UTF-8&lang=de&res=§screen§&cd=24&tz=Europe%2FBerlin&dtm=§ms§&cx=§bu200§&vp=1903x937&ds=1903x5000&vid=2&sid=§uuid§&duid=§uuid§&stm=§ms§
/ajax/bz?__a=1&__ccg=EXCELLENT&__dyn=7xe§bu60§&__hs=§dig5§.HYP%3Acomet_pkg.2.1..2.1&__hsi=§dig19§&__req=1b&__rev=§dig10§&__s=§low6§%3A§low6§%3A§low6§&__user=0&dpr=1&jazoest=§dig4§&lsd=§bu8§
/youtubei/v1/guide?key=AIzaSy§bu25§&prettyPrint=false
/api/stats/qoe?fmt=§dig3§&afmt=251&cpn=§bu12§&el=detailpage&ns=yt&fexp=v1%2C§dig8§%2C§dig6§&cl=§dig9§&seq=2&docid=§bu8§&ei=§bu16§&event=streamingstats&plid=§bu12§&vps=0.001:B,5.321:PL&bwm=5.321:§dig7§:0.321&bh=5.321:40.040&cmt=5.321:5.298&df=0.001:0
/videoplayback?expire=§epoch§&ei=§bu16§&ip=§ip§&id=o-A§bu30§&itag=251&source=youtube&requiressl=yes&xpc=EgVo2aDSNQ%3D%3D&mh=§low2§&mm=31%2C26&mn=sn-4g5e6nzz%2Csn-5hne6nsz&ms=au%2Conr&mv=m&initcwndbps=§dig7§&bui=§bu40§&spc=§bu30§&vprv=1&mime=audio%2Fwebm&gir=yes&clen=§dig7§&dur=§float§&lmt=§dig16§&sparams=expire%2Cei%2Cip%2Cid%2Citag%2Csource&sig=AJfQdSsw§bu60§%3D&lsparams=mh%2Cmm%2Cmn&range=0-65813&rn=2&rbuf=0
/graphql?operationName=§word§Query&variables=E⟦{"id":"§dig8§","first":20,"after":"§bb20§","filter":{"status":{"in":["OPEN","CLOSED"]},"price":{"gte":10,"lt":50}},"sort":"createdAt_DESC"}⟧&extensions=E⟦{"persistedQuery":{"version":1,"sha256Hash":"§hex64§"}}⟧
/graphql?query=E⟦query($id: ID!) { product(id: $id) { ...Fields price { amount currency } } } fragment Fields on Product { id name }⟧&variables=E⟦{"id":"§dig8§"}⟧
/voyager/api/graphql?variables=(start:0,origin:SWITCH_SEARCH_VERTICAL,query:(keywords:E⟦§words§⟧,flagshipSearchIntent:SEARCH_SRP,queryParameters:List((key:network,value:List(F,S)),(key:resultType,value:List(PEOPLE))),includeFiltersInResponse:false))&queryId=voyagerSearchDashClusters.§hex32§
/i/api/graphql/§bu16§/SearchTimeline?variables=E⟦{"rawQuery":"§words§ (from:§word§) until:2025-01-01 -filter:replies","count":20,"querySource":"typed_query","product":"Top"}⟧&features=E⟦{"rweb_tipjar_consumption_enabled":true,"responsive_web_graphql_exclude_directive_enabled":true,"verified_phone_label_enabled":false}⟧
/wp-json/wp/v2/posts?_fields=id,title,link&context=edit&per_page=100&orderby=title&order=asc&search=P⟦§words§⟧&_locale=user
/wp-admin/load-scripts.php?c=1&load%5Bchunk_0%5D=jquery-core,jquery-migrate,utils,moxiejs,plupload&ver=6.1.9
/wp-admin/post.php?post=§dig4§&action=edit&message=6&_wpnonce=§hex10§&_wp_http_referer=E⟦/wp-admin/edit.php?s=§word§&post_status=all⟧
/index.php?option=com_content&view=article&id=§dig3§:§slug§&catid=§small§&Itemid=§dig3§&lang=de
/index.php?title=Special:Search&search=P⟦§words§ OR "§words§"⟧&fulltext=1&profile=advanced&ns0=1&ns6=1
/api.php?action=query&format=json&formatversion=2&list=search&srsearch=P⟦insource:/§word§/ -intitle:"§words§"⟧&prop=info|revisions&rvprop=ids|timestamp|user&origin=*
/node/§dig3§?destination=E⟦/admin/content?title=§word§&type=All⟧&_wrapper_format=drupal_ajax&ajax_page_state%5Btheme%5D=claro&ajax_page_state%5Blibraries%5D=§bu120§
/odata/Products?$filter=E⟦Name eq 'O''Brien' and Price gt §small§ or contains(Description,'§word§')⟧&$orderby=Price desc&$select=Id,Name,Price&$expand=Category($select=Name;$filter=Active eq true)&$top=20&$count=true
/_api/web/lists/getbytitle('Documents')/items?$select=Title,Author/Name&$expand=Author&$filter=E⟦Modified ge datetime'2025-01-01T00:00:00Z' and substringof('§word§',Title)⟧&$top=100
/_api/web/GetFolderByServerRelativeUrl('/sites/team/Shared%20Documents')/Files
/sap/opu/odata/sap/API_SRV/A_Product(ProductId='§dig8§',Lang='DE')/to_Text?sap-client=100&$format=json
/arcgis/rest/services/Parcels/MapServer/0/query?where=1%3D1&outFields=*&returnGeometry=true&spatialRel=esriSpatialRelIntersects&geometry=E⟦{"xmin":§float§,"ymin":§float§,"xmax":§float§,"ymax":§float§,"spatialReference":{"wkid":102100}}⟧&geometryType=esriGeometryEnvelope&inSR=102100&f=json
/arcgis/rest/services/Cities/FeatureServer/0/query?f=pbf&where=P⟦STATE_NAME = 'Texas' AND POP > §int§⟧&outFields=NAME,POP&orderByFields=POP DESC&resultOffset=0&resultRecordCount=50
/arcgis/rest/services/Roads/FeatureServer/2/query?where=P⟦OBJECTID > 0 AND UPPER(NAME) LIKE '%MAIN%'⟧&returnCountOnly=true&f=json
/geoserver/wms?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetMap&LAYERS=topp%3Astates&CQL_FILTER=E⟦name LIKE 'A%' AND pop > §int§ AND BBOX(geom,§float§,§float§,§float§,§float§)⟧&STYLES=&CRS=EPSG%3A3857&BBOX=§float§,§float§,§float§,§float§&WIDTH=256&HEIGHT=256&FORMAT=image%2Fpng
/api/interpreter?data=E⟦[out:json][timeout:25];(node["amenity"="cafe"](50.6,7.0,50.8,7.3);way["highway"~"^(primary|secondary)$"](50.6,7.0,50.8,7.3););out body;>;out skel qt;⟧
/§small§/§dig4§/§dig4§.png?key=§an20§
/vt/pb=!1m4!1m3!1i12!2i§dig4§!3i§dig4§!2m3!1e0!2sm!3i§dig9§!3m8!2sde!3sde!5e1105!12m4!1e68!2m2!1sset!2sRoadmap!4e0!5m1!1e0!23i§dig8§
/maps/preview/place?authuser=0&hl=de&gl=de&pb=!1m14!1s0x§hex16§%3A0x§hex16§!3m12!1m3!1d§float§!2d§lat§!3d§lat§!2m3!1f0!2f0!3f0!3m2!1i1024!2i768!4f13.1&q=P⟦§words§⟧
/rest/api/2/search?jql=P⟦project = ABC AND status in (Open, "In Progress") AND assignee = currentUser() AND text ~ "§words§" ORDER BY created DESC⟧&fields=summary,status&maxResults=50
/services/data/v59.0/query?q=P⟦SELECT Id, Name, Owner.Name FROM Account WHERE Name LIKE '§word§%' AND CreatedDate > 2024-01-01T00:00:00Z LIMIT 50⟧
/api/v1/query_range?query=E⟦sum(rate(http_requests_total{job="api",code=~"5..|4.."}[5m])) by (le) / ignoring(code) group_left sum(up) > 0.5⟧&start=§epoch§&end=§epoch§&step=15
/loki/api/v1/query_range?direction=backward&limit=100&query=E⟦{app="§word§",env=~"prod|stage"} |= "error" != "timeout" | json | line_format "{{.msg}} {{.level}}"⟧
/api/ds/query?ds_type=prometheus&requestId=Q§dig3§
/app/discover#/?_g=(filters:!(),refreshInterval:(pause:!t,value:0),time:(from:now-15m,to:now))&_a=(columns:!(_source),filters:!(),index:'§uuid§',interval:auto,query:(language:kuery,query:'status:500%20and%20not%20host:%22§word§%22'),sort:!(!('@timestamp',desc)))
/app/kibana?_g=(filters:!(('$state':(store:globalState),meta:(alias:!n,key:§word§,negate:!f),query:(match_phrase:(§word§:'§words§')))),time:(from:now-7d,to:now))
/en-US/app/search/search?q=E⟦search index=main sourcetype=access_combined status>=500 | stats count by host | sort -count | head 10⟧&earliest=-24h%40h&latest=now
/v1/logs?query=E⟦AzureActivity | where TimeGenerated > ago(1h) and Level != "Info" | summarize count() by bin(TimeGenerated, 5m) | order by count_ desc⟧
/solr/core/select?q=E⟦title:(§word§ OR "§words§") AND NOT price:[* TO 10] _val_:"recip(ms(NOW,date),3.16e-11,1,1)"⟧&fq=E⟦{!tag=cat}category:("§word§")⟧&facet=true&facet.field={!ex=cat}category&wt=json&json.wrf=jQuery§dig15§_§ms§
/v0/app§an14§/Table?filterByFormula=E⟦AND({Status}='Done',{Price}>§small§,NOT(FIND('§word§',{Name})=0))⟧&sort%5B0%5D%5Bfield%5D=Name&sort%5B0%5D%5Bdirection%5D=asc
/v2021-10-21/data/query/production?query=E⟦*[_type == "post" && slug.current == $slug && !(_id in path("drafts.**"))][0]{title, "author": author->name, body[]{..., asset->}}⟧&$slug=E⟦"§slug§"⟧
/api/articles?filters[$or][0][title][$containsi]=P⟦§words§⟧&filters[$or][1][price][$gte]=§small§&populate[author][fields][0]=name&sort[0]=createdAt:desc&pagination[pageSize]=25
/users?$limit=25&$skip=50&$sort[createdAt]=-1&name[$like]=P⟦%§word§%⟧&age[$gt]=18&$select[]=name
/parse/classes/Score?where=E⟦{"score":{"$gte":1000},"name":{"$regex":"^§word§","$options":"i"},"$or":[{"a":1},{"b":{"$exists":true}}]}⟧&order=-createdAt&limit=20
/rest/v1/items?select=*,author(*)&or=(age.lt.18,age.gt.21)&name=ilike.*§word§*&order=created_at.desc.nullslast&limit=10
/google.firestore.v1.Firestore/Listen/channel?gsessionid=§bu30§&VER=8&database=projects%2Fexample%2Fdatabases%2F(default)&RID=rpc&SID=§bu16§&AID=5&CI=0&TYPE=xmlhttp&zx=§low12§&t=1
/_db/_find?selector=E⟦{"year":{"$gt":2010},"$and":[{"title":{"$ne":null}}]}⟧
/authorize?client_id=§uuid§&response_type=code&redirect_uri=E⟦https://§host§/callback?next=E⟦§path§⟧⟧&scope=openid%20profile%20email%20offline_access&state=§bu40§&nonce=§bu24§&code_challenge=§bu32§&code_challenge_method=S256&prompt=none&response_mode=form_post&claims=E⟦{"id_token":{"acr":{"values":["urn:mace:incommon:iap:silver"]}}}⟧
/callback?code=0.A§bu300§&state=§bu80§&session_state=§uuid§
/callback?state=E⟦B⟦{"redirectTo":"§url§","csrf":"§hex32§"}⟧⟧&code=§bu40§&scope=email+profile+https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fuserinfo.email+openid&authuser=0&prompt=consent
/sso/saml?SAMLRequest=E⟦D⟦<samlp:AuthnRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_§hex40§" Version="2.0" IssueInstant="§iso§" Destination="https://§host§/sso" AssertionConsumerServiceURL="https://§host§/acs"><saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">https://§host§/metadata</saml:Issuer><samlp:NameIDPolicy Format="urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress" AllowCreate="true"/></samlp:AuthnRequest>⟧⟧&RelayState=E⟦§url§⟧&SigAlg=http%3A%2F%2Fwww.w3.org%2F2001%2F04%2Fxmldsig-more%23rsa-sha256&Signature=E⟦§bb256§⟧
/login?service=E⟦https://§host§/cas/login?TARGET=E⟦§url§⟧⟧&ticket=ST-§dig5§-§an30§-cas01
/login?return_to=E⟦/§slug§?tab=readme&x=1#section⟧&error=P⟦§sentence§⟧
/bucket/§uuid§/P⟦§name§⟧.pdf?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA§upper16§%2F20250103%2Feu-central-1%2Fs3%2Faws4_request&X-Amz-Date=20250103T100422Z&X-Amz-Expires=900&X-Amz-Security-Token=E⟦§bb300§⟧&X-Amz-SignedHeaders=host&X-Amz-Signature=§hex64§&response-content-disposition=E⟦attachment; filename="§words§.pdf"; filename*=UTF-8''§words§.pdf⟧
/container/§slug§.mp4?sv=2023-11-03&st=§iso§&se=§iso§&sr=b&sp=r&rscd=inline&sig=E⟦§bb32§⟧
/asset.jpg?Expires=§epoch§&Signature=§bu256§__&Key-Pair-Id=K§upper13§&Policy=§bu200§_
/hls/§hex32§/index-v1-a1.m3u8?token=exp=§epoch§~acl=/hls/*~hmac=§hex64§&md5=§bu16§
/_next/image?url=E⟦/images/§slug§.jpg?w=100&h=100⟧&w=1920&q=75
/_next/static/chunks/app/%5Blang%5D/(shop)/%5B...slug%5D/page-§hex16§.js
/_next/data/§bu16§/de/§slug§.json?slug=§slug§&slug=§slug§
/cdn-cgi/image/width=640,quality=75,format=auto/https://§host§/img/§slug§.png
/images/w_800,h_600,c_fill,g_auto,f_auto,q_auto/l_text:Arial_40_bold:E⟦§words§⟧,co_white/v§epoch§/§slug§.jpg
/is/image/shop/§dig8§?$pdp-main$&fmt=webp-alpha&wid=800&hei=800&fit=constrain,1&bgc=255,255,255
/css2?family=Roboto:ital,wght@0,100..900;1,100..900&family=Open+Sans:wght@400;700&display=swap&text=E⟦§words§⟧
/npm/combine/npm/jquery@3.7.1,npm/bootstrap@5.3.3/dist/js/bootstrap.min.js
/ajax/libs/??jquery.js,b/c.js?v=§hex8§
/shop/search?q=P⟦§words§⟧&refinementList[brand][0]=P⟦§name§⟧&refinementList[price][0]=10-50&page=§small§&configure[filters]=E⟦inStock:true AND NOT tags:"§word§"⟧
/products?filter=E⟦price:[10 TO 50] AND (color:"red" OR color:"§word§") AND NOT size:XL⟧&sort=-price,+name&fields=id,name,(price,currency)
/c/§slug§?q=E⟦:relevance:brand:§word§:price:€10-€50:allCategories:§word§⟧&text=P⟦§words§⟧
/search?query=P⟦§sentence§⟧&page=1
/suche?suchbegriff=P⟦§name§⟧&umkreis=25&ort=P⟦München⟧&preis_bis=100&sort=preis%20aufsteigend
/q?s=P⟦how to select all from table where id in (1,2,3) order by name⟧&t=§word§
/questions/tagged/sql?tab=newest&q=P⟦[sql] union all vs union "select distinct" is:question score:3⟧
/weather?lat=§lat§&lon=§lat§&appid=§hex32§&units=metric&exclude=minutely,hourly&lang=de
/quote?symbols=AAPL,%5EGSPC,EURUSD%3DX,BTC-USD&fields=regularMarketPrice&crumb=§bu9§%2F&formatted=false
/booking?checkin=2025-07-01&checkout=2025-07-08&group_adults=2&req_children=1&age=5&nflt=E⟦class=4;price=EUR-min-150-1;ht_id=204⟧&order=price&ss=P⟦§words§⟧&dest_id=-§dig7§
/flights/BER-§upper3§/2025-07-01/2025-07-08/2adults?sort=bestflight_a&fs=stops=~0;airlines=-ONLY,-FR;legdur=-300
/rpc?method=§word§.get&params=E⟦["§word§",{"limit":10,"where":[["id","=",§small§]]}]⟧&id=§small§&jsonrpc=2.0
/xjs/_/js/k=xjs.s.de.§bu12§.2018.O/ck=xjs.s.§bu12§.L.F4.O/am=§bu60§/d=1/exm=SNUn3,cb,cdos,hsm,jsa/ed=1/dg=3/rs=ACT90o§bu20§/ee=cEt90b:ws9Tlc;qddgKe:x4FSXe/m=sb_wiz,aa,abd?xjs=s1
/batchexecute?rpcids=§an6§&source-path=E⟦/search⟧&f.sid=-§dig19§&bl=boq_§word§_20250103.05_p0&hl=de&soc-app=162&_reqid=§dig6§&rt=c
/safelinks?url=E⟦§url§⟧&data=05%7C02%7CE⟦§email§⟧%7C§hex32§%7C§hex32§%7C0%7C0%7C638§dig15§%7CUnknown%7CB⟦{"V":"0.0.0000","P":"Win32","AN":"Mail","WT":2}⟧%7C0%7C%7C%7C&sdata=E⟦§bb32§⟧&reserved=0
/unsubscribe?e=E⟦§email§⟧&h=§hex40§&l=E⟦§words§⟧
/ls/click?upn=u001.§bu300§-3D
/download?file=../assets/§slug§.pdf
/static/js/../css/main.css?v=§hex8§
/download?path=E⟦C:\\Users\\§word§\\Documents\\§words§.docx⟧
/files?path=E⟦/home/§word§/.config/§word§/settings.json⟧&recursive=1
/browse?dir=E⟦/var/www/html/§slug§⟧&sort=name
/repo/blob/main/src/§word§/../§word§.rs?plain=1#L10-L20
/repo/compare/main...feature%2F§slug§?diff=split&w=1
/raw/main/.github/workflows/ci.yml
/repo.git/info/refs?service=git-upload-pack
/api/v4/projects/group%2Fsub%2Frepo/repository/files/src%2Fmain.rs/raw?ref=feature%2F§slug§
/v2/library/§word§/manifests/sha256:§hex64§
/token?service=registry.example.com&scope=repository:library/§word§:pull,push&account=§word§
/simple/§word§/?format=application/vnd.pypi.simple.v1+json
/@babel%2fcore/-/core-7.26.0.tgz
/dav/calendars/§word§%40example.com/E⟦§uuid§⟧.ics
/jsonp?callback=jQuery§dig20§_§ms§&q=P⟦§words§⟧&_=§ms§
/cb?callback=__jp§small§&cb=window.__tcfapi_cb&json={"a":[1,2]}
/event.gif?d=B⟦{"event":"click","props":{"$browser":"Chrome","$current_url":"§url§","text":"§sentence§"},"token":"§hex32§"}⟧&ip=1&_=§ms§
/track/?data=E⟦B⟦[{"event":"$mp_web_page_view","properties":{"$os":"Windows","$referrer":"§url§","title":"§title§"}}]⟧⟧&verbose=1
/e/?ip=1&_=§ms§&ver=1.190.2&compression=gzip-js
/trk?li=%3Ca%3E&state=E⟦N4Ig§lz150§⟧&s=§lz60§
/playground?code=E⟦MYewdgzg§lz200§⟧
/play#code/N4Ig§lz90§
/calc?expr=E⟦(3 + 4) * 2 / (1 - 5)^2 > 10 && x != 3⟧&unit=E⟦m/s²⟧
/formula?f=E⟦=IF(AND(A1>5,B1<"x"),SUM(C1:C10)*1.19,"n/a")⟧
/cron?schedule=E⟦*/15 0 1,15 * 1-5⟧&cmd=backup
/regex?re=E⟦^(?:https?:\\/\\/)?(\\w+)\\.(com|org)$⟧&flags=gi
/admin/auth/user/?q=P⟦§name§⟧&is_staff__exact=1&o=-3.1&e=1&_changelist_filters=E⟦q=§word§&all=⟧
/phpmyadmin/index.php?route=/sql&db=shop&table=orders&sql_query=P⟦SELECT * FROM `orders` WHERE `id` = §small§ ORDER BY `id` DESC⟧&sql_signature=§hex64§&is_browse_distinct=1
/ghost/api/admin/posts/?filter=E⟦status:[published,draft]+tag:'§slug§'+created_at:>'2024-01-01'⟧&limit=30&formats=mobiledoc,lexical
""".strip("\n").split("\n")
