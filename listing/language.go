package listing

// language is what a charset is expected to spell. Letters are given in lower case; the capitals follow from them.
type language struct {
	common string // letters beyond ASCII that its words are full of
	rare   string // further letters of its alphabet
}

// The languages that tell the charsets apart. A charset is believed as far as one of its languages accounts for
// all the letters that it makes of the bytes.
var (
	french     = language{common: "éèêàçâîôûùëï", rare: "œÿæ"}
	german     = language{common: "äöüß"}
	spanish    = language{common: "áéíóúñ", rare: "ü¿¡ªº"}
	portuguese = language{common: "ãçáéíóúâêôõà", rare: "üªº"}
	italian    = language{common: "àèéìòù"}
	nordic     = language{common: "åäöæøé", rare: "ü"}
	// words of several western languages side by side; without the letters that are others in central Europe
	mixed     = language{common: "éàçüöäßáíóú"}
	icelandic = language{common: "áéíóúýþæðö"}
	polish    = language{common: "ąćęłńóśźż"}
	czech     = language{common: "áčďéěíňóřšťúůýž", rare: "ľĺŕäô"}
	hungarian = language{common: "áéíóöőúüű"}
	romanian  = language{common: "ăâîșțşţ"}
	croatian  = language{common: "čćđšž"}
	turkish   = language{common: "çğıöşü", rare: "âîû"}
	russian   = language{common: "оеаинтсрвлкмдпуяыьгзбчй", rare: "хжшюцщэфъё"}
	ukrainian = language{common: "оеаинтсрвлкмдпуяьгзбчйії", rare: "хжшюцщфєґ"}
	greek     = language{common: "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώ", rare: "ϊϋΐΰ"}
)

// The characters that names are most often made of; they set the CJK charsets apart, which otherwise all fit each
// other's text.
const (
	frequentJapanese = "日一国会人年大十二本中長出三同時政事自行社見月分議後前民生連五発間対上部東者党地合市業内相方四定今回新場金員九入選立開手米力学問高代明実円関決子動京全目表戦経通外最言氏現理調体化田当八六約主題下首意法不来作性的要用制治度務強気小七成期公持野協取都和統以機平総加山思家話世受区領多県続進正安設保改数記院女初北午指権心界支第産結百派点教報済書府活原先共得解名交資予川向際査勝面委告軍文反元重近千考判認画海参売利組知案道信策集在件団別物側任引使求所次水半品昨論計死官増係感特情投示変打男基私各始島直両朝革価式確村提運終挙果西勢減台広容必応演電歳住争談能無再位置企真流格有疑口過局少放税検藤町常校料沢裁状工建語球営空職証土与急止送援供可役構木割聞身費付施切由説転食比難防補車優夫研収断井何南石足違消境神番規術護展態導鮮備宅害配副算視条幹独警宮究育席輸訪楽起万着乗店述残想線率病農州武声質念待試族象銀域助労例衛然早張映限親額監環験追審商葉義伝働形景落欧担好退準賀訴辺造英被株頭技低毎医復仕去姿味負閣韓渡失移差衆個門写評課末守若脳極種美岡影命含福蔵量望松非撃佐核観察整段横融型白深字答夜製票況音申様財港識注呼渉達資料写真動画音楽文書検索結果請求書見積設計図報告会議録名簿一覧新規作成変更追加削除表紙目次添付"

	frequentSimplified = "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运笔测试档夹图片照音乐视频下载软件文档资料备份合同财务用户手册说明版本源码程序数据库服务器客户项目计划总结会议纪要通知申请表格模板附件目录新建副本最终修改稿影电歌曲游戏专辑课作业答案考卷年度季报审核"

	frequentTraditional = "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡用道行所然家種事成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實日軍者意無力它與長把機十民第公此已工使情明性知全三又關點正業外將兩高間由問很最重並物手應戰向頭文體政美相見被利什二等產或新己制身果加西斯月話合回特代內信表化老給世位次度門任常先海通教兒原東聲提立及比員解水名真論處走義各入幾口認條平系氣題活爾更別打女變四神總何電數安少報才結反受目太量再感建務做接必場件計管期市直德資命山金指克許統區保至隊形社便空決治展馬科司五基眼書非則聽白卻界達光放強即像難且權思王象完設式色路記南品住告類求據程北邊死張該交規萬取拉格望覺術領共確傳師觀清今切院讓識候帶導爭運測試檔案資料夾圖片照音樂影視下載軟體備份合約財務使用者手冊說明版本源碼程式庫伺服器客戶專案計畫總結會議記錄通知申請表格範本附件目錄新增副本最終修改稿電歌曲遊戲"

	frequentHangul = "이다는의에가을하고지사한기로도은어리시인나대자해정서일스그있아를보부수라전들장제여관구주원조공성적만상비오국동화중회연과용신선경세안유문개면명산물모무생방발업학간계실소위분민반당치미건외우마내거강통심판현와권결진작운치드트파록료폴더음악새테드검색결과사진영상회의보고서계획표양식첨부목록최종수정본복사백업설명프로그램데이터버전자료실게시판"
)
