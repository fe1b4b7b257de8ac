#include "runtime/image/class_table.h"

#include <algorithm>
#include <array>
#include <span>

#include "layers/base/ascii.h"
#include "layers/base/error.h"
#include "runtime/image/palette.h"

namespace atrous {

std::vector<std::string> camvid_classes() {
  return {"sky",  "building", "pole", "road",       "pavement", "tree",
          "sign", "fence",    "car",  "pedestrian", "bicyclist"};
}

Palette camvid_palette() {
  return {{128, 128, 128}, {128, 0, 0},   {192, 192, 128}, {128, 64, 128}, {60, 40, 222}, {128, 128, 0},
          {192, 128, 128}, {64, 64, 128}, {64, 0, 128},    {64, 64, 0},    {0, 128, 192}};
}

const std::vector<CityscapesClass>& cityscapes_classes() {
  static const std::vector<CityscapesClass> classes{{"road", 7, {128, 64, 128}},
                                                    {"sidewalk", 8, {244, 35, 232}},
                                                    {"building", 11, {70, 70, 70}},
                                                    {"wall", 12, {102, 102, 156}},
                                                    {"fence", 13, {190, 153, 153}},
                                                    {"pole", 17, {153, 153, 153}},
                                                    {"traffic light", 19, {250, 170, 30}},
                                                    {"traffic sign", 20, {220, 220, 0}},
                                                    {"vegetation", 21, {107, 142, 35}},
                                                    {"terrain", 22, {152, 251, 152}},
                                                    {"sky", 23, {70, 130, 180}},
                                                    {"person", 24, {220, 20, 60}},
                                                    {"rider", 25, {255, 0, 0}},
                                                    {"car", 26, {0, 0, 142}},
                                                    {"truck", 27, {0, 0, 70}},
                                                    {"bus", 28, {0, 60, 100}},
                                                    {"train", 31, {0, 80, 100}},
                                                    {"motorcycle", 32, {0, 0, 230}},
                                                    {"bicycle", 33, {119, 11, 32}}};
  return classes;
}

namespace {

constexpr std::string_view ade20k_names =
    "wall,building,sky,floor,tree,ceiling,road,bed,windowpane,grass,cabinet,sidewalk,person,earth,door,"
    "table,mountain,plant,curtain,chair,car,water,painting,sofa,shelf,house,sea,mirror,rug,field,"
    "armchair,seat,fence,desk,rock,wardrobe,lamp,bathtub,railing,cushion,base,box,column,signboard,"
    "chest of drawers,counter,sand,sink,skyscraper,fireplace,refrigerator,grandstand,path,stairs,"
    "runway,case,pool table,pillow,screen door,stairway,river,bridge,bookcase,blind,coffee table,"
    "toilet,flower,book,hill,bench,countertop,stove,palm,kitchen island,computer,swivel chair,boat,bar,"
    "arcade machine,hovel,bus,towel,light,truck,tower,chandelier,awning,streetlight,booth,"
    "television receiver,airplane,dirt track,apparel,pole,land,bannister,escalator,ottoman,bottle,"
    "buffet,poster,stage,van,ship,fountain,conveyer belt,canopy,washer,plaything,swimming pool,stool,"
    "barrel,basket,waterfall,tent,bag,minibike,cradle,oven,ball,food,step,tank,trade name,microwave,"
    "pot,animal,bicycle,lake,dishwasher,screen,blanket,sculpture,hood,sconce,vase,traffic light,tray,"
    "ashcan,fan,pier,crt screen,plate,monitor,bulletin board,shower,radiator,glass,clock,flag";

constexpr std::uint32_t ade20k_colours[] = {
    0x787878, 0xb47878, 0x06e6e6, 0x503232, 0x04c803, 0x787850, 0x8c8c8c, 0xcc05ff, 0xe6e6e6, 0x04fa07,
    0xe005ff, 0xebff07, 0x96053d, 0x787846, 0x08ff33, 0xff0652, 0x8fff8c, 0xccff04, 0xff3307, 0xcc4603,
    0x0066c8, 0x3de6fa, 0xff0633, 0x0b66ff, 0xff0747, 0xff09e0, 0x0907e6, 0xdcdcdc, 0xff095c, 0x7009ff,
    0x08ffd6, 0x07ffe0, 0xffb806, 0x0aff47, 0xff290a, 0x07ffff, 0xe0ff08, 0x6608ff, 0xff3d06, 0xffc207,
    0xff7a08, 0x00ff14, 0xff0829, 0xff0599, 0x0633ff, 0xeb0cff, 0xa09614, 0x00a3ff, 0x8c8c8c, 0xfa0a0f,
    0x14ff00, 0x1fff00, 0xff1f00, 0xffe000, 0x99ff00, 0x0000ff, 0xff4700, 0x00ebff, 0x00adff, 0x1f00ff,
    0x0bc8c8, 0xff5200, 0x00fff5, 0x003dff, 0x00ff70, 0x00ff85, 0xff0000, 0xffa300, 0xff6600, 0xc2ff00,
    0x008fff, 0x33ff00, 0x0052ff, 0x00ff29, 0x00ffad, 0x0a00ff, 0xadff00, 0x00ff99, 0xff5c00, 0xff00ff,
    0xff00f5, 0xff0066, 0xffad00, 0xff0014, 0xffb8b8, 0x001fff, 0x00ff3d, 0x0047ff, 0xff00cc, 0x00ffc2,
    0x00ff52, 0x000aff, 0x0070ff, 0x3300ff, 0x00c2ff, 0x007aff, 0x00ffa3, 0xff9900, 0x00ff0a, 0xff7000,
    0x8fff00, 0x5200ff, 0xa3ff00, 0xffeb00, 0x08b8aa, 0x8500ff, 0x00ff5c, 0xb800ff, 0xff001f, 0x00b8ff,
    0x00d6ff, 0xff0070, 0x5cff00, 0x00e0ff, 0x70e0ff, 0x46b8a0, 0xa300ff, 0x9900ff, 0x47ff00, 0xff00a3,
    0xffcc00, 0xff008f, 0x00ffeb, 0x85ff00, 0xff00eb, 0xf500ff, 0xff007a, 0xfff500, 0x0abed4, 0xd6ff00,
    0x00ccff, 0x1400ff, 0xffff00, 0x0099ff, 0x0029ff, 0x00ffcc, 0x2900ff, 0x29ff00, 0xad00ff, 0x00f5ff,
    0x4700ff, 0x7a00ff, 0x00ffb8, 0x005cff, 0xb8ff00, 0x0085ff, 0xffd600, 0x19c2c2, 0x66ff00, 0x5c00ff,
};

constexpr std::string_view coco_stuff_names =
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,"
    "street sign,stop sign,parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,"
    "giraffe,hat,backpack,umbrella,shoe,eye glasses,handbag,tie,suitcase,frisbee,skis,snowboard,"
    "sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,plate,"
    "wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,"
    "donut,cake,chair,couch,potted plant,bed,mirror,dining table,window,desk,toilet,door,tv,laptop,"
    "mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,refrigerator,blender,book,clock,vase,"
    "scissors,teddy bear,hair drier,toothbrush,hair brush,banner,blanket,branch,bridge,building-other,"
    "bush,cabinet,cage,cardboard,carpet,ceiling-other,ceiling-tile,cloth,clothes,clouds,counter,"
    "cupboard,curtain,desk-stuff,dirt,door-stuff,fence,floor-marble,floor-other,floor-stone,floor-tile,"
    "floor-wood,flower,fog,food-other,fruit,furniture-other,grass,gravel,ground-other,hill,house,"
    "leaves,light,mat,metal,mirror-stuff,moss,mountain,mud,napkin,net,paper,pavement,pillow,"
    "plant-other,plastic,platform,playingfield,railing,railroad,river,road,rock,roof,rug,salad,sand,"
    "sea,shelf,sky-other,skyscraper,snow,solid-other,stairs,stone,straw,structural-other,table,tent,"
    "textile-other,towel,tree,vegetable,wall-brick,wall-concrete,wall-other,wall-panel,wall-stone,"
    "wall-tile,wall-wood,water-other,waterdrops,window-blind,window-other,wood";

// By their place in labels.txt: street sign, hat, shoe, eye glasses, plate, mirror, window, desk, door,
// blender, hair brush.
constexpr std::size_t coco_absent[] = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91};

constexpr std::string_view pascal_context_names =
    "background,aeroplane,bicycle,bird,boat,bottle,bus,car,cat,chair,cow,table,dog,horse,motorbike,"
    "person,pottedplant,sheep,sofa,train,tvmonitor,bag,bed,bench,book,building,cabinet,ceiling,cloth,"
    "computer,cup,door,fence,floor,flower,food,grass,ground,keyboard,light,mountain,mouse,curtain,"
    "platform,sign,plate,road,rock,shelves,sidewalk,sky,snow,bedclothes,track,tree,truck,wall,water,"
    "window,wood";

std::vector<std::string> split(std::string_view names) {
  std::vector<std::string> out;
  for (std::size_t end = 0; end != names.npos; names.remove_prefix(end == names.npos ? 0 : end + 1))
    out.emplace_back(names.substr(0, end = names.find(',')));
  return out;
}

ClassTable in_voc_colours(std::vector<std::string> classes) {
  const int count = static_cast<int>(classes.size());
  return {std::move(classes), voc_palette(count)};
}

ClassTable voc(std::size_t) { return in_voc_colours(voc_classes()); }

ClassTable cityscapes(std::size_t) {
  ClassTable table;
  for (const CityscapesClass& c : cityscapes_classes()) {
    table.classes.emplace_back(c.name);
    table.palette.push_back(c.colour);
  }
  return table;
}

ClassTable ade20k(std::size_t) {
  ClassTable table{.classes = split(ade20k_names), .palette = {}};
  for (const std::uint32_t c : ade20k_colours)
    table.palette.push_back({static_cast<std::uint8_t>(c >> 16), static_cast<std::uint8_t>(c >> 8 & 255),
                             static_cast<std::uint8_t>(c & 255)});
  return table;
}

ClassTable coco_stuff(std::size_t classes) {
  std::vector<std::string> names = split(coco_stuff_names);
  if (classes + std::size(coco_absent) == names.size())
    for (std::size_t i = std::size(coco_absent); i-- > 0;)
      names.erase(names.begin() + static_cast<std::ptrdiff_t>(coco_absent[i]) - 1);
  return in_voc_colours(std::move(names));
}

// COCO's objects by their ids, as torchvision's detectors number them: those of COCO-Stuff up to 90.
ClassTable coco(std::size_t) {
  std::vector<std::string> names = split(coco_stuff_names);
  names.insert(names.begin(), "__background__");
  for (const std::size_t absent : coco_absent) names[absent] = "N/A";
  names.resize(91);
  return in_voc_colours(std::move(names));
}

ClassTable pascal_context(std::size_t classes) {
  std::vector<std::string> names = split(pascal_context_names);
  if (classes != names.size()) names.erase(names.begin());
  return in_voc_colours(std::move(names));
}

ClassTable pcontext(std::size_t classes) {
  ClassTable table = pascal_context(classes);
  for (auto next = table.classes.begin() + (table.classes.size() == 60);  // background stays
       next != table.classes.end(); ++next)
    next->swap(*std::min_element(next, table.classes.end()));
  return table;
}

ClassTable camvid(std::size_t) { return {camvid_classes(), camvid_palette()}; }

struct Known {
  std::string_view name;
  std::array<std::string_view, 3> words;  // in files' names, letters and digits only; the first that fits
  std::array<std::size_t, 2> counts;
  ClassTable (*table)(std::size_t classes);
  bool by_count;
};

constexpr Known known[] = {{"voc", {"voc"}, {21}, voc, true},
                           {"cityscapes", {"cityscapes"}, {19}, cityscapes, true},
                           {"ade20k", {"ade20k"}, {150}, ade20k, true},
                           {"coco", {"coco"}, {91}, coco, true},
                           {"coco-stuff", {"cocostuff"}, {182, 171}, coco_stuff, true},
                           {"pascal-context", {"pascalcontext"}, {59, 60}, pascal_context, false},
                           {"pcontext", {"pcontext"}, {59, 60}, pcontext, false},
                           {"camvid", {"camvid"}, {11}, camvid, false}};

}  // namespace

std::vector<std::string_view> class_table_names() {
  std::vector<std::string_view> names;
  for (const Known& k : known) names.push_back(k.name);
  return names;
}

std::optional<ClassTable> class_table(std::string_view dataset, std::size_t classes) {
  const auto found = std::ranges::find(known, dataset, &Known::name);
  return found == std::end(known) ? std::nullopt : std::optional(found->table(classes));
}

std::optional<ClassTable> likely_class_table(std::size_t classes, std::string_view file) {
  if (classes == 0) return std::nullopt;
  std::string letters;
  for (const char c : file)
    if (is_letter(c) || is_digit(c)) letters += lower(c);
  for (const bool by_name : {true, false})
    for (const Known& k : known) {
      if (std::ranges::find(k.counts, classes) == k.counts.end()) continue;
      const bool named = std::ranges::any_of(k.words, [&](std::string_view word) {
        return !word.empty() && letters.find(word) != letters.npos;
      });
      if (by_name ? named : k.by_count) return k.table(classes);
    }
  return std::nullopt;
}

}  // namespace atrous
