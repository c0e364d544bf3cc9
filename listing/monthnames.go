package listing

// monthNames is what ls prints for the months under the locales that servers are found with, and the full names and
// the genitives where a language prints those: in small letters, without the final dot, the ways to write one month
// separated by slashes. The C libraries and their releases do not agree on abbreviations, hence so many.
//
// Croatian is last: lip, srp and lis mean the month before what they mean in Polish and Czech.
// They are read so, unless another month of the listing is Croatian beyond doubt.
var monthNames = [...]struct{ code, months string }{
	{"en", "jan/january feb/february mar/march apr/april may jun/june jul/july aug/august sep/sept/september" +
		" oct/october nov/november dec/december"},
	{"de", "jan/jän/januar/jänner/jaen feb/februar/feber mär/mrz/mar/maer/märz/maerz apr/april mai jun/juni jul/juli" +
		" aug/august sep/sept/september okt/oktober nov/november dez/dezember"},
	{"fr", "jan/janv/janvier fév/févr/fev/fevr/février/fevrier mar/mars avr/avril mai jun/juin jui/jul/juil/juillet" +
		" aoû/aou/août/aout sep/sept/septembre oct/octobre nov/novembre déc/dec/décembre"},
	{"es", "ene/enero feb/fbro/febrero mar/mzo/marzo abr/abril may/mayo jun/junio jul/julio ago/agto/agosto" +
		" sep/sept/sbre/set/septiembre/setiembre oct/obre/octubre nov/nbre/noviembre dic/dbre/diciembre"},
	{"it", "gen/gennaio feb/febbraio mar/marzo apr/aprile mag/maggio giu/giugno lug/luglio ago/agosto" +
		" set/sett/settembre ott/ottobre nov/novembre dic/dicembre"},
	{"pt", "jan/janeiro fev/fevereiro mar/março/marco abr/abril mai/maio jun/junho jul/julho ago/agosto" +
		" set/setembro out/outubro nov/novembro dez/dezembro"},
	{"gl", "xan/xaneiro feb/febreiro mar/marzo abr/abril mai/maio xuñ/xuño xul/xullo ago/agosto set/setembro" +
		" out/outubro nov/novembro dec/decembro"},
	{"ca", "gen/gener feb/febr/febrer mar/març abr/abril mai/maig jun/juny jul/juliol ago/ag/agost set/setembre" +
		" oct/octubre nov/novembre des/desembre"},
	{"nl", "jan/januari feb/februari mrt/mar/maart apr/april mei jun/juni jul/juli aug/augustus sep/sept/september" +
		" okt/oktober nov/november dec/december"},
	{"da", "jan/januar feb/februar mar/marts apr/april maj jun/juni jul/juli aug/august sep/sept/september" +
		" okt/oktober nov/november dec/december"},
	{"sv", "jan/januari feb/febr/februari mar/mars apr/april maj jun/juni jul/juli aug/augusti sep/sept/september" +
		" okt/oktober nov/november dec/december"},
	{"nb", "jan/januar feb/februar mar/mars apr/april mai jun/juni jul/juli aug/august sep/sept/september" +
		" okt/oktober nov/november des/desember"},
	{"is", "jan/janúar feb/febrúar mar/mars apr/apríl maí jún/júní júl/júlí ágú/ágúst sep/september" +
		" okt/október nóv/nóvember des/desember"},
	{"fi", "tammi/tammikuu/tammikuuta helmi/helmikuu/helmikuuta maalis/maaliskuu/maaliskuuta huhti/huhtikuu/huhtikuuta" +
		" touko/toukokuu/toukokuuta kesä/kesäkuu/kesäkuuta heinä/heinäkuu/heinäkuuta elo/elokuu/elokuuta" +
		" syys/syyskuu/syyskuuta loka/lokakuu/lokakuuta marras/marraskuu/marraskuuta joulu/joulukuu/joulukuuta"},
	{"pl", "sty/styczeń/stycznia lut/luty/lutego mar/marzec/marca kwi/kwiecień/kwietnia maj/maja cze/czerwiec/czerwca" +
		" lip/lipiec/lipca sie/sierpień/sierpnia wrz/wrzesień/września paź/paz/październik/października" +
		" lis/listopad/listopada gru/grudzień/grudnia"},
	{"cs", "led/leden/ledna úno/únor/února bře/březen/března dub/duben/dubna kvě/květen/května čen/čer/červen/června" +
		" čec/červenec/července srp/srpen/srpna zář/září říj/říjen/října lis/listopad/listopadu pro/prosinec/prosince"},
	{"sk", "jan/január/januára feb/február/februára mar/marec/marca apr/apríl/apríla máj/mája jún/júna júl/júla" +
		" aug/august/augusta sep/september/septembra okt/október/októbra nov/november/novembra dec/december/decembra"},
	{"sl", "jan/januar feb/februar mar/marec apr/april maj jun/junij jul/julij avg/avgust sep/september okt/oktober" +
		" nov/november dec/december"},
	{"sr", "jan/januar feb/februar mar/mart apr/april maj jun/juni jul/juli avg/avgust sep/septembar okt/oktobar" +
		" nov/novembar dec/decembar"},
	{"hu", "jan/január feb/febr/február már/márc/március ápr/április máj/május jún/június júl/július aug/augusztus" +
		" sze/szep/szept/szeptember okt/október nov/november dec/december"},
	{"ro", "ian/ianuarie feb/februarie mar/martie apr/aprilie mai iun/iunie iul/iulie aug/august sep/sept/septembrie" +
		" oct/octombrie noi/nov/noiembrie dec/decembrie"},
	{"et", "jaan/jan/jaanuar veebr/vee/veebruar märts/mär apr/aprill mai juuni/jun juuli/jul aug/august" +
		" sept/sep/september okt/oktoober nov/november dets/det/detsember"},
	{"lv", "jan/janv/janvāris feb/febr/februāris mar/marts apr/aprīlis mai/maijs jūn/jūnijs jūl/jūlijs aug/augusts" +
		" sep/sept/septembris okt/oktobris nov/novembris dec/decembris"},
	{"lt", "sau/saus/sausio vas/vasario kov/kovo bal/balandžio geg/gegužės bir/birž/birželio lie/liep/liepos" +
		" rgp/rugp/rugpjūčio rgs/rugs/rugsėjo spa/spal/spalio lap/lapkr/lapkričio grd/gruod/gruodžio"},
	{"tr", "oca/ocak şub/şubat mar/mart nis/nisan may/mayıs haz/haziran tem/temmuz ağu/ağustos eyl/eylül eki/ekim" +
		" kas/kasım ara/aralık"},
	{"id", "jan/januari feb/februari mar/maret apr/april mei jun/juni jul/juli agu/agt/agustus sep/september" +
		" okt/oktober nov/november des/desember"},
	{"ru", "янв/январь/января фев/февр/февраль/февраля мар/март/марта апр/апрель/апреля май/мая июн/июнь/июня" +
		" июл/июль/июля авг/август/августа сен/сент/сентябрь/сентября окт/октябрь/октября ноя/нояб/ноябрь/ноября" +
		" дек/декабрь/декабря"},
	{"uk", "січ/січень/січня лют/лютий/лютого бер/берез/березень/березня кві/квіт/квітень/квітня" +
		" тра/трав/травень/травня чер/черв/червень/червня лип/липень/липня сер/серп/серпень/серпня" +
		" вер/верес/вересень/вересня жов/жовт/жовтень/жовтня лис/листоп/листопад/листопада гру/груд/грудень/грудня"},
	{"be", "сту/студзень/студзеня лют/люты/лютага сак/сакавік/сакавіка кра/красавік/красавіка тра/травень/траўня" +
		" чэр/чэрвень/чэрвеня ліп/ліпень/ліпеня жні/жнівень/жніўня вер/верасень/верасня" +
		" кас/кастрычнік/кастрычніка ліс/лістапад/лістапада сне/снежань/снежня"},
	{"bg", "яну/януари фев/февруари мар/март апр/април май юни юли авг/август сеп/септ/септември окт/октомври" +
		" ное/ноем/ноември дек/декември"},
	{"mk", "јан/јануари фев/феб/февруари мар/март апр/април мај јун/јуни јул/јули авг/август сеп/септ/септември" +
		" окт/октомври ное/нов/ноември дек/дец/декември"},
	{"el", "ιαν/ιανουαρίου φεβ/φεβρουαρίου μαρ/μάρ/μάρτ/μαρτίου απρ/απριλίου μαΐ/μαϊ/μάι/μαι/μάϊ/μαΐου" +
		" ιουν/ιούν/ιουνίου ιουλ/ιούλ/ιουλίου αυγ/αύγ/αυγούστου σεπ/σεπτ/σεπτεμβρίου οκτ/οκτωβρίου" +
		" νοε/νοέ/νοεμ/νοεμβρίου δεκ/δεκεμβρίου"},
	{"zh", "一月 二月 三月 四月 五月 六月 七月 八月 九月 十月 十一月 十二月"},
	{"hr", "sij/siječanj/siječnja vel/velj/veljača/veljače ožu/ožujak/ožujka tra/travanj/travnja svi/svibanj/svibnja" +
		" lip/lipanj/lipnja srp/srpanj/srpnja kol/kolovoz/kolovoza ruj/rujan/rujna lis/listopad/listopada" +
		" stu/studeni/studenoga pro/prosinac/prosinca"},
}
