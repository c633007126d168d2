"""The model `mlcd_seg` and the tasks of referring segmentation in lmms-eval's harness.

lmms-eval's own `refcoco_seg_*` ask for a caption of a region. Here a phrase is asked for, and the
answer is a mask as COCO's run lengths, so that any model of the harness can give one.
"""
