"""Names, by docs/protocol.md, *Names*, and Unicode's annexes alone.

Decides which text is a name, and how many characters people count in it. Properties that Python does not have stand here, as far as
Unicode 14.0 (which the oldest Python in use knows) has the characters; about later ones this program is not asked.
"""

import unicodedata

WHITE_SPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"


def ranges(text):
    found = set()
    for part in text.split():
        first, _, last = part.partition("-")
        found.update(range(int(first, 16), int(last or first, 16) + 1))
    return found


INVISIBLE = ranges(
    "AD 34F 61C 115F-1160 17B4-17B5 180B-180F 200B-200F 2028-202E 2060-206F 2800 3164 FE00-FE0F FEFF FFA0 FFF0-FFFB"
    " 13430-1343F 1BCA0-1BCA3 1D173-1D17A E0000-E0FFF"
)
# Joining_Type. T is Mn, Me and Cf, less what RIGHT to DUAL and NOT_T name, and U+1E94B.
RIGHT = ranges(
    "622-625 627 629 62F-632 648 671-673 675-677 688-699 6C0 6C3-6CB 6CD 6CF 6D2-6D3 6D5 6EE-6EF 710 715-719 71E 728 72A"
    " 72C 72F 74D 759-75B 76B-76C 771 773-774 778-779 840 846-847 849 854 856-858 867 869-86A 870-882 88E 8AA-8AC 8AE"
    " 8B1-8B2 8B9 10AC5 10AC7 10AC9-10ACA 10ACE-10AD2 10ADD 10AE1 10AE4 10AEF 10B81 10B83-10B85 10B89 10B8C 10B8E-10B8F"
    " 10B91 10BA9-10BAC 10D22 10F33 10F54 10F74-10F75 10FB4-10FB6 10FB9-10FBA 10FBD 10FC2-10FC3 10FC9"
)
LEFT = ranges("A872 10ACD 10AD7 10D00 10FCB")
DUAL = ranges(
    "620 626 628 62A-62E 633-63F 641-647 649-64A 66E-66F 678-687 69A-6BF 6C1-6C2 6CC 6CE 6D0-6D1 6FA-6FC 6FF 712-714"
    " 71A-71D 71F-727 729 72B 72D-72E 74E-758 75C-76A 76D-770 772 775-777 77A-77F 7CA-7EA 841-845 848 84A-853 855 860"
    " 862-865 868 886 889-88D 8A0-8A9 8AF-8B0 8B3-8B8 8BA-8C8 1807 1820-1878 1887-18A8 18AA A840-A871 10AC0-10AC4"
    " 10AD3-10AD6 10AD8-10ADC 10ADE-10AE0 10AEB-10AEE 10B80 10B82 10B86-10B88 10B8A-10B8B 10B8D 10B90 10BAD-10BAE"
    " 10D01-10D21 10D23 10F30-10F32 10F34-10F44 10F51-10F53 10F70-10F73 10F76-10F81 10FB0 10FB2-10FB3 10FB8 10FBB-10FBC"
    " 10FBE-10FBF 10FC1 10FC4 10FCA 1E900-1E943"
)
NOT_T = ranges("600-605 6DD 890-891 8E2 180E 200C-200D 2066-2069 110BD 110CD")
PICTOGRAPHIC = ranges(
    "A9 AE 203C 2049 2122 2139 2194-2199 21A9-21AA 231A-231B 2328 23CF 23E9-23F3 23F8-23FA 24C2 25AA-25AB 25B6 25C0"
    " 25FB-25FE 2600-2604 260E 2611 2614-2615 2618 261D 2620 2622-2623 2626 262A 262E-262F 2638-263A 2640 2642 2648-2653"
    " 265F-2660 2663 2665-2666 2668 267B 267E-267F 2692-2697 2699 269B-269C 26A0-26A1 26A7 26AA-26AB 26B0-26B1 26BD-26BE"
    " 26C4-26C5 26C8 26CE-26CF 26D1 26D3-26D4 26E9-26EA 26F0-26F5 26F7-26FA 26FD 2702 2705 2708-270D 270F 2712 2714 2716"
    " 271D 2721 2728 2733-2734 2744 2747 274C 274E 2753-2755 2757 2763-2764 2795-2797 27A1 27B0 27BF 2934-2935 2B05-2B07"
    " 2B1B-2B1C 2B50 2B55 3030 303D 3297 3299 1F004 1F0CF 1F170-1F171 1F17E-1F17F 1F18E 1F191-1F19A 1F201-1F202 1F21A"
    " 1F22F 1F232-1F23A 1F250-1F251 1F300-1F321 1F324-1F393 1F396-1F397 1F399-1F39B 1F39E-1F3F0 1F3F3-1F3F5 1F3F7-1F3FA"
    " 1F400-1F4FD 1F4FF-1F53D 1F549-1F54E 1F550-1F567 1F56F-1F570 1F573-1F57A 1F587 1F58A-1F58D 1F590 1F595-1F596"
    " 1F5A4-1F5A5 1F5A8 1F5B1-1F5B2 1F5BC 1F5C2-1F5C4 1F5D1-1F5D3 1F5DC-1F5DE 1F5E1 1F5E3 1F5E8 1F5EF 1F5F3 1F5FA-1F64F"
    " 1F680-1F6C5 1F6CB-1F6D2 1F6D5-1F6D7 1F6DD-1F6E5 1F6E9 1F6EB-1F6EC 1F6F0 1F6F3-1F6FC 1F7E0-1F7EB 1F7F0 1F90C-1F93A"
    " 1F93C-1F945 1F947-1F9FF 1FA70-1FA74 1FA78-1FA7C 1FA80-1FA86 1FA90-1FAAC 1FAB0-1FABA 1FAC0-1FAC5 1FAD0-1FAD9"
    " 1FAE0-1FAE7 1FAF0-1FAF6"
)
IDEOGRAPH = ranges(
    "3400-4DBF 4E00-9FFF FA0E-FA0F FA11 FA13-FA14 FA1F FA21 FA23-FA24 FA27-FA29 20000-2A6DF 2A700-2B738 2B740-2B81D"
    " 2B820-2CEA1 2CEB0-2EBE0 30000-3134A"
)
MONGOLIAN = ranges("1820-1878 1880-18AA")
# Grapheme_Cluster_Break, by general category and what differs from it.
ALSO_EXTEND = ranges(
    "9BE 9D7 B3E B57 BBE BD7 CC0 CC2 CC7-CC8 CCA-CCB CD5-CD6 D3E D57 DCF DDF 1715 1734 1B35 1B3B 1B3D 1B43-1B44 1BAA"
    " 1BF2-1BF3 200C 302E-302F A953 A9C0 FF9E-FF9F 111C0 11235 1133E 1134D 11357 114B0 114BD 115AF 116B6 11930 1193D"
    " 16FF0-16FF1 1D165-1D166 1D16D-1D172 1F3FB-1F3FF E0020-E007F"
)
ALSO_SPACING = ranges("E33 EB3 1171E")
NEITHER = ranges(
    "102B-102C 1038 1062-1064 1067-106D 1083 1087-108C 108F 109A-109C 1A61 1A63-1A64 AA7B AA7D 11720-11721"
)
PREPEND = ranges(
    "600-605 6DD 70F 890-891 8E2 D4E 110BD 110CD 111C2-111C3 1193F 11941 11A84-11A89 11D46"
)
# Indic_Conjunct_Break.
LINKER = ranges("94D 9CD ACD B4D C4D D4D 1039 17D2 1A60 1B44 1BAB A9C0 AAF6 10A3F 11133 1193E 11A47 11A99")
CONSONANT = ranges(
    "915-939 958-95F 978-97F 995-9A8 9AA-9B0 9B2 9B6-9B9 9DC-9DD 9DF 9F0-9F1 A95-AA8 AAA-AB0 AB2-AB3 AB5-AB9 AF9 B15-B28"
    " B2A-B30 B32-B33 B35-B39 B5C-B5D B5F B71 C15-C28 C2A-C39 C58-C5A D15-D3A 1000-102A 103F 1050-1055 105A-105D 1061"
    " 1065-1066 106E-1070 1075-1081 108E 1780-17B3 1A20-1A54 1B0B-1B0C 1B13-1B33 1B45-1B4C 1B83-1BA0 1BAE-1BAF 1BBB-1BBD"
    " A989-A98B A98F-A9B2 A9E0-A9E4 A9E7-A9EF A9FA-A9FE AA60-AA6F AA71-AA73 AA7A AA7E-AA7F AAE0-AAEA ABC0-ABDA 10A00"
    " 10A10-10A13 10A15-10A17 10A19-10A35 11103-11126 11144 11147 11900-11906 11909 1190C-11913 11915-11916 11918-1192F"
    " 11A00 11A0B-11A32 11A50 11A5C-11A83"
)


def kind(c):
    """Grapheme_Cluster_Break."""
    code, category = ord(c), unicodedata.category(c)
    if c in "\r\n\u200d":
        return {"\r": "CR", "\n": "LF", "\u200d": "ZWJ"}[c]
    if 0x1100 <= code <= 0x115F or 0xA960 <= code <= 0xA97C:
        return "L"
    if 0x1160 <= code <= 0x11A7 or 0xD7B0 <= code <= 0xD7C6:
        return "V"
    if 0x11A8 <= code <= 0x11FF or 0xD7CB <= code <= 0xD7FB:
        return "T"
    if 0xAC00 <= code <= 0xD7A3:
        return "LV" if (code - 0xAC00) % 28 == 0 else "LVT"
    if 0x1F1E6 <= code <= 0x1F1FF:
        return "RI"
    if code in PREPEND:
        return "Prepend"
    if code in ALSO_SPACING:
        return "SpacingMark"
    if code in ALSO_EXTEND or category in ("Mn", "Me"):
        return "Extend"
    if category == "Mc" and code not in NEITHER:
        return "SpacingMark"
    if category in ("Cc", "Cf", "Zl", "Zp"):
        return "Control"
    return "Other"


def clusters(text):
    """Where the extended grapheme clusters begin (UAX #29)."""
    kinds = [kind(c) for c in text]
    starts = []
    for at in range(len(text)):
        if at == 0 or breaks(text, kinds, at):
            starts.append(at)
    return starts


def breaks(text, kinds, at):
    one, two = kinds[at - 1], kinds[at]
    if (one, two) == ("CR", "LF"):
        return False
    if one in ("Control", "CR", "LF") or two in ("Control", "CR", "LF"):
        return True
    if (one, two) in (
        ("L", "L"), ("L", "V"), ("L", "LV"), ("L", "LVT"), ("LV", "V"), ("LV", "T"), ("V", "V"), ("V", "T"), ("LVT", "T"), ("T", "T"),
    ):
        return False
    if two in ("Extend", "ZWJ", "SpacingMark") or one == "Prepend":
        return False
    # GB9c
    if ord(text[at]) in CONSONANT:
        back, linked = at - 1, False
        while back >= 0 and (kinds[back] in ("Extend", "ZWJ") and text[back] != "\u200c"):
            linked |= ord(text[back]) in LINKER
            back -= 1
        if linked and back >= 0 and ord(text[back]) in CONSONANT:
            return False
    # GB11
    if one == "ZWJ" and ord(text[at]) in PICTOGRAPHIC:
        back = at - 2
        while back >= 0 and kinds[back] == "Extend":
            back -= 1
        if back >= 0 and ord(text[back]) in PICTOGRAPHIC:
            return False
    # GB12, GB13
    if (one, two) == ("RI", "RI"):
        back = at - 1
        while back >= 0 and kinds[back] == "RI":
            back -= 1
        return (at - 1 - back) % 2 == 0
    return True


def transparent(c):
    code = ord(c)
    if code in RIGHT | LEFT | DUAL | NOT_T:
        return False
    return code == 0x1E94B or unicodedata.category(c) in ("Mn", "Me", "Cf")


def belongs(text, at):
    """Whether the invisible character at this place has a meaning there."""
    c = text[at]
    before = text[at - 1] if at else ""
    after = text[at + 1 : at + 2]
    virama = lambda one: one != "" and unicodedata.combining(one) == 9
    letter = lambda one: one != "" and unicodedata.category(one)[0] == "L"
    within = lambda one, those: one != "" and ord(one) in those
    if c == "\u200c":
        if virama(before) and letter(after):
            return True
        left = next((one for one in reversed(text[:at]) if not transparent(one)), "")
        right = next((one for one in text[at + 1 :] if not transparent(one)), "")
        return within(left, LEFT | DUAL) and within(right, RIGHT | DUAL)
    if c == "\u200d":
        if virama(before) or (letter(before) and virama(after) and letter(text[at + 2 : at + 3])):
            return True
        back = at - 1
        if back >= 0 and (text[back] == "\ufe0f" or 0x1F3FB <= ord(text[back]) <= 0x1F3FF):
            back -= 1
        return back >= 0 and within(text[back], PICTOGRAPHIC) and within(after, PICTOGRAPHIC)
    if c in "\ufe0e\ufe0f":
        key = c == "\ufe0f" and before != "" and before in "0123456789#*" and after == "\u20e3"
        return key or within(before, PICTOGRAPHIC)
    if "\ufe00" <= c <= "\ufe02" or "\U000e0100" <= c <= "\U000e01ef":
        return within(before, IDEOGRAPH)
    if c in "\u180b\u180c\u180d\u180f":
        return within(before, MONGOLIAN)
    if c == "\u180e":
        return within(before, MONGOLIAN) and after != "" and after in "\u1820\u1821"
    if "\U000e0020" <= c <= "\U000e007f":
        for letters in ("gbeng", "gbsct", "gbwls"):
            flag = "\U0001f3f4" + "".join(chr(0xE0000 + ord(one)) for one in letters) + "\U000e007f"
            starts = range(max(0, at - len(flag) + 1), at)
            if any(text.startswith(flag, start) for start in starts):
                return True
    return False


def why_not(text):
    """Why a text on the wire is no name; nothing if it is one."""
    if unicodedata.normalize("NFC", text) != text:
        return "form"
    marks, last = 0, ""
    for at, c in enumerate(text):
        before = text[at - 1] if at else ""
        category = unicodedata.category(c)
        if category in ("Cc", "Co", "Cn", "Cs"):
            return "no character"
        if ord(c) in INVISIBLE:
            if not belongs(text, at):
                return "invisible"
            continue
        if c in WHITE_SPACE and (c != " " or before in ("", " ") or at == len(text) - 1):
            return "space"
        if category in ("Mn", "Mc", "Me") and before in ("", " "):
            return "mark on nothing"
        if category in ("Mn", "Me"):
            marks += 1
            if marks > 4 or c == last:
                return "marks"
            last = c
        else:
            marks, last = 0, ""
    if not 1 <= len(clusters(text)) <= 64 or len(text.encode()) > 512:
        return "length"
    return None
